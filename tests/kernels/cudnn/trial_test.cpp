// Trials of convolutions (kernels/cudnn/trial.h) against the naive loops in double, and what they refuse. They need neither
// cuDNN nor a GPU.
#include "kernels/cudnn/trial.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/cudnn/steps.h"
#include "kernels/reference/conv2d.h"
#include "tests/cases/cases.h"

namespace apam::kernels::cudnn {
namespace {

using Pass = Conv2d::Pass;
using Old = TrialOf::Old;

std::vector<double> values_of(const std::vector<std::byte>& bytes, DType type) {
  std::vector<double> values(bytes.size() / size_of(type));
  for (std::size_t e = 0; e < values.size(); ++e) {
    if (type == DType::float32) {
      float value = 0;
      std::memcpy(&value, bytes.data() + e * sizeof value, sizeof value);
      values[e] = value;
    } else {
      BFloat16 value{};
      std::memcpy(&value, bytes.data() + e * sizeof value, sizeof value);
      values[e] = value;
    }
  }
  return values;
}

double rounded(double value, DType type) {
  const auto narrow = static_cast<float>(value);
  return type == DType::float32 ? narrow : BFloat16(narrow);
}

std::vector<std::byte> bytes_of(const std::vector<double>& values, DType type) {
  std::vector<std::byte> bytes(values.size() * size_of(type));
  for (std::size_t e = 0; e < values.size(); ++e) {
    const auto value = static_cast<float>(values[e]);
    const BFloat16 narrow(value);
    if (type == DType::float32) {
      std::memcpy(bytes.data() + e * sizeof value, &value, sizeof value);
    } else {
      std::memcpy(bytes.data() + e * sizeof narrow, &narrow, sizeof narrow);
    }
  }
  return bytes;
}

/// What the trial's graph should compute: products of its operands, and old values.
struct Computed {
  std::vector<double> products, old;
};

Computed computed(Conv2d::Problem p, Pass pass, const TrialOf& of, const Trial& trial) {
  p.n = std::min(p.n, 2);
  std::vector<double> x, w, y, separate;
  for (const auto& [id, bytes, size] : trial.operands) {
    const DType type = id == trial.result || id == conv2d::kOld ? of.result : of.operands;
    (id == conv2d::kX ? x : id == conv2d::kW ? w : id == conv2d::kY ? y : separate) = values_of(bytes, type);
  }
  std::vector<double>& result = pass == Pass::forward ? y : pass == Pass::backward_input ? x : w;
  Computed all{std::vector<double>(result.size()), of.old == Old::separate ? separate : result};
  if (pass == Pass::forward) reference::conv2d_forward(p, x.data(), w.data(), all.products.data());
  if (pass == Pass::backward_input) {
    reference::conv2d_backward_input(p, y.data(), w.data(), all.products.data(), Write::overwrite);
  }
  if (pass == Pass::backward_weight) {
    reference::conv2d_backward_weight(p, x.data(), y.data(), all.products.data(), Write::overwrite);
  }
  return all;
}

/// Calls visit(name, problem, pass, of, trial, computed) for edge cases, in all forms that steps() has.
template <class Visit>
void for_trials(const Visit& visit) {
  constexpr DType kWide = DType::float32, kNarrow = DType::bfloat16;
  const std::vector<std::pair<Pass, TrialOf>> forms{{Pass::forward, {kWide, kWide, Old::none}},
                                                    {Pass::forward, {kNarrow, kNarrow, Old::none}},
                                                    {Pass::backward_input, {kWide, kWide, Old::in_result}},
                                                    {Pass::backward_input, {kNarrow, kNarrow, Old::none}},
                                                    {Pass::backward_input, {kNarrow, kNarrow, Old::in_result}},
                                                    {Pass::backward_weight, {kWide, kWide, Old::none}},
                                                    {Pass::backward_weight, {kWide, kWide, Old::in_result}},
                                                    {Pass::backward_weight, {kNarrow, kWide, Old::separate}}};
  for (const auto& [name, problem, layers, passes] : cases::edge_cases<Conv2d>()) {
    for (const auto& [pass, of] : forms) {
      const Trial made = trial(problem, pass, of);
      visit(name, pass, of, made, computed(problem, pass, of, made));
    }
  }
}

TEST(CudnnTrial, expects_what_the_naive_loops_compute) {
  for_trials([](const std::string& name, Pass pass, const TrialOf& of, const Trial& made, const Computed& right) {
    std::vector<double> results(right.products.size());
    bool reached = false;
    for (std::size_t e = 0; e < results.size(); ++e) {
      results[e] = rounded(right.products[e] + right.old[e], of.result);
      reached = reached || right.products[e] != 0;
    }
    EXPECT_EQ(values_of(made.expected, of.result), results) << name << ' ' << static_cast<int>(pass);
    EXPECT_TRUE(reached) << name << ' ' << static_cast<int>(pass);
    EXPECT_TRUE(made.right(bytes_of(results, of.result)));
  });
}

TEST(CudnnTrial, refuses_results_that_are_rounded_twice) {
  int tried = 0;
  for_trials([&](const std::string& name, Pass, const TrialOf& of, const Trial& made, const Computed& right) {
    if (of.old == Old::none || of.operands != DType::bfloat16) return;
    std::vector<double> results(right.products.size());
    for (std::size_t e = 0; e < results.size(); ++e) {
      results[e] = rounded(rounded(right.products[e], DType::bfloat16) + right.old[e], of.result);
    }
    EXPECT_FALSE(made.right(bytes_of(results, of.result))) << name;
    ++tried;
  });
  EXPECT_GT(tried, 20);
}

/// Winograd and FFT add neighbours that are 2^30 times as large. Rows of pixels have all three sizes, in turn.
TEST(CudnnTrial, refuses_results_with_errors_of_the_size_of_neighbours) {
  for_trials([](const std::string& name, Pass pass, const TrialOf& of, const Trial& made, const Computed& right) {
    if (of.old != Old::none || of.operands != DType::float32) return;
    double largest = 0, smallest = 0;
    for (const double product : right.products) {
      largest = std::max(largest, product);
      if (product != 0 && (smallest == 0 || product < smallest)) smallest = product;
    }
    if (smallest == largest) return;  // windows of one pixel are not transformed
    std::vector<double> results = values_of(made.expected, of.result);
    for (double& result : results) result = rounded(result + largest, of.result) - largest;
    EXPECT_FALSE(made.right(bytes_of(results, of.result))) << name << ' ' << static_cast<int>(pass);
  });
}

TEST(CudnnTrial, has_the_first_and_the_last_of_many_images) {
  const Conv2d::Problem problem{.n = 33, .h = 4, .w = 5, .c = 8, .k = 16, .r = 3, .s = 3, .padding = 1};
  const Trial made = trial(problem, Pass::backward_weight, {DType::bfloat16, DType::float32, Old::separate});
  const std::vector<std::size_t> sizes{problem.x_size() * 2, problem.w_size() * 4, problem.y_size() * 2, problem.w_size() * 4};
  ASSERT_EQ(made.operands.size(), sizes.size());
  for (const auto& values : made.operands) {
    const bool weights = values.id == conv2d::kW || values.id == conv2d::kOld;
    EXPECT_EQ(values.size, sizes.at(static_cast<std::size_t>(values.id))) << values.id;
    EXPECT_EQ(values.bytes.size(), weights ? values.size : values.size / 33 * 2) << values.id;
    EXPECT_EQ(values.whole(), weights) << values.id;
  }
}

TEST(CudnnTrial, zeros_of_either_sign_are_equal_and_nan_is_not) {
  Trial trial;
  trial.expected = bytes_of({0, 1}, DType::float32);
  EXPECT_TRUE(trial.right(bytes_of({-0.0, 1}, DType::float32)));
  EXPECT_FALSE(trial.right(bytes_of({0, std::numeric_limits<double>::quiet_NaN()}, DType::float32)));
  EXPECT_FALSE(trial.right(bytes_of({0}, DType::float32)));
}

}  // namespace
}  // namespace apam::kernels::cudnn
