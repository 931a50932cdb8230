// Every CUDA kernel on the emulator: each edge case, type and pass against the naive loops in double, with fences and operands
// of NaN, in every schedule of threads; extreme operands; and each tile of convolution.
//
// The other test files of this program are those of all providers; here they run on "emulated" (implementations.cpp).
#include <gtest/gtest.h>

#include "kernels/cuda/conv2d.h"
#include "kernels/cuda/make.h"
#include "tests/cases/cases.h"
#include "tests/support/extremes.h"
#include "tests/support/operation_types.h"
#include "tests/support/throws.h"

namespace apam::kernels::cuda {
namespace {

using emulator::Schedule;

constexpr Schedule kSchedules[] = {Schedule::in_turn, Schedule::hasty, Schedule::random};

emulator::Settings& settings(Exec& exec) { return exec.cache<emulator::Machine>().settings; }

template <class Op>
const Implementation<Op>& emulated() {
  return implementations<Op>().front();
}

/// In every schedule. Results are added to old ones in one of them only, without a look for races: only the stores differ.
template <class Op>
void expect_right(Exec& exec, support::KernelCheck<Op>& samples, typename Op::Kernel& kernel, typename Op::Pass pass,
                  const std::string& what) {
  const auto expected = samples.expected(pass);
  const auto verify = [&](emulator::Settings used, Write write) {
    settings(exec) = used;
    EXPECT_EQ(support::verify(exec, samples, kernel, pass, expected, write), "")
        << what << ' ' << Op::pass_names[static_cast<std::size_t>(pass)] << ", schedule " << static_cast<int>(used.schedule);
  };
  for (const Schedule schedule : kSchedules) verify({.schedule = schedule}, Write::overwrite);
  if (support::KernelCheck<Op>::accumulates(pass)) verify({.schedule = Schedule::random, .check_races = false}, Write::add);
}

template <class Op>
class EdgeCases : public testing::Test {};
TYPED_TEST_SUITE(EdgeCases, support::OperationTypes, support::OperationName);

TYPED_TEST(EdgeCases, are_right_in_every_schedule) {
  using Op = TypeParam;
  ASSERT_EQ(emulated<Op>().provider, "emulated");
  for (const auto& named : cases::in_each_type(cases::edge_cases<Op>())) {
    Exec exec;
    support::KernelCheck<Op> samples(exec, named.problem);
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      expect_right(exec, samples, *emulated<Op>().make(exec, named.problem, pass), pass, named.name);
    }
  }
}

/// Larger operands show nothing new.
constexpr std::size_t kMostElements = 5'000;

template <class Op>
bool small(support::KernelCheck<Op>& samples) {
  const auto inputs = samples.inputs(typename Op::Pass{});
  return std::all_of(inputs.begin(), inputs.end(), [](const auto& input) { return input.values.size() <= kMostElements; });
}

TYPED_TEST(EdgeCases, follow_the_rule_for_extreme_operands) {
  using Op = TypeParam;
  int checked = 0;
  for (const auto& named : cases::in_each_type(cases::edge_cases<Op>())) {
    Exec exec;
    settings(exec).check_races = false;
    support::KernelCheck<Op> samples(exec, named.problem);
    if (!small(samples)) continue;
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      const auto kernel = emulated<Op>().make(exec, named.problem, pass);
      support::check_extremes(
          samples, pass, [&](const auto& try_one) { try_one("emulated", [&] { samples.run(exec, *kernel, pass); }); },
          [&](const std::string& who, const std::string& faults) {
            EXPECT_EQ(faults, "") << named.name << ' ' << Op::pass_names[index] << ": " << who;
            ++checked;
          });
    }
  }
  EXPECT_GT(checked, 0);
}

/// Problems with several tiles in each direction, a part of a tile at the end, several splits, and phases.
std::vector<Conv2d::Problem> problems_for_tiles() {
  return {{.n = 3, .h = 10, .w = 9, .c = 24, .k = 136, .r = 3, .s = 3, .padding = 1},
          {.n = 2, .h = 13, .w = 14, .c = 136, .k = 40, .r = 3, .s = 3, .stride = 2, .padding = 1},
          {.n = 5, .h = 8, .w = 8, .c = 72, .k = 80, .r = 1, .s = 1},
          {.n = 3, .h = 8, .w = 8, .c = 19, .k = 70, .r = 2, .s = 3, .padding = 1},
          {.n = 2, .h = 6, .w = 6, .c = 80, .k = 80, .r = 3, .s = 3, .padding = 1},                // splits begin between taps
          {.n = 1, .h = 12, .w = 11, .c = 16, .k = 8, .r = 5, .s = 6, .stride = 5, .padding = 2},  // 25 phases
          {.n = 3, .h = 18, .w = 16, .c = 8, .k = 8, .r = 1, .s = 3, .padding = 1}};               // several splits
}

TEST(Convolution, refuses_images_whose_lines_it_cannot_count) {
  Exec exec;
  const Conv2d::Problem problem{.n = 1, .h = 1 << 29, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1};
  EXPECT_TRUE(support::throws<ShapeError>({"536870912 rows or columns", "at most 536870911"}, [&] {
    make_with_tile(exec, problem, Conv2d::Pass::forward, TileSize::best, Target());
  }));
}

class EachTile : public testing::TestWithParam<TileSize> {};

void expect_convolves(Conv2d::Problem problem, TileSize tile) {
  problem.type = DType::bfloat16;
  Exec exec;
  support::KernelCheck<Conv2d> samples(exec, problem);
  for (std::size_t index = 0; index < Conv2d::pass_names.size(); ++index) {
    const auto pass = static_cast<Conv2d::Pass>(index);
    const auto kernel = make_with_tile(exec, problem, pass, tile, Target());
    expect_right(exec, samples, *kernel, pass, problem.describe());
  }
}

TEST_P(EachTile, convolves) {
  for (const Conv2d::Problem& problem : problems_for_tiles()) expect_convolves(problem, GetParam());
}

INSTANTIATE_TEST_SUITE_P(conv2d, EachTile,
                         testing::Values(TileSize::t64x64, TileSize::t64x128, TileSize::t128x64, TileSize::t128x128,
                                         TileSize::w64x64, TileSize::w128x64, TileSize::w128x128),
                         [](const auto& of) { return "size_" + std::to_string(static_cast<int>(of.param)); });

/// On the emulator kernels choose other tiles, so that EdgeCases does not reach those by wgmma.
TEST(TilesByWgmma, are_right_for_edge_cases) {
  for (const auto& named : cases::edge_cases<Conv2d>()) expect_convolves(named.problem, TileSize::w64x64);
}

// make() chooses kernels without TMA, so that EdgeCases does not reach those with it.

/// Calls visit(problem, pass) for what TMA supports of these problems. Returns how many those are.
template <class Visit>
int for_tma(std::vector<Conv2d::Problem> problems, const Visit& visit) {
  int supported = 0;
  for (Conv2d::Problem& problem : problems) {
    problem.type = DType::bfloat16;
    for (const auto pass : {Conv2d::Pass::forward, Conv2d::Pass::backward_input}) {
      if (!tma_supports(problem, pass)) continue;
      ++supported;
      visit(problem, pass);
    }
  }
  return supported;
}

std::int64_t loads_by_tma(Exec& exec) { return exec.cache<emulator::Machine>().loads(); }

void expect_tma_convolves(const std::vector<Conv2d::Problem>& problems, TileSize tile, int least) {
  const int supported = for_tma(problems, [&](const Conv2d::Problem& problem, Conv2d::Pass pass) {
    Exec exec;
    support::KernelCheck<Conv2d> samples(exec, problem);
    const auto kernel = make_with_tile(exec, problem, pass, tile, Target(), Loads::by_tma);
    expect_right(exec, samples, *kernel, pass, problem.describe());
    EXPECT_GT(loads_by_tma(exec), 0) << problem.describe();
  });
  EXPECT_GE(supported, least);
}

class ByTma : public testing::TestWithParam<TileSize> {};

TEST_P(ByTma, convolves) {
  std::vector<Conv2d::Problem> problems = problems_for_tiles();
  problems.push_back({.n = 3, .h = 7, .w = 9, .c = 40, .k = 24, .r = 1, .s = 1, .stride = 2});  // phases without taps
  problems.push_back({.n = 2, .h = 9, .w = 5, .c = 72, .k = 16, .r = 2, .s = 3, .stride = 3});  // forward only
  problems.push_back({.n = 2, .h = 5, .w = 4, .c = 8, .k = 8, .r = 3, .s = 4, .padding = 4});   // padding above the window
  problems.push_back({.n = 130, .h = 1, .w = 1, .c = 64, .k = 64, .r = 1, .s = 1});             // an image per row
  problems.push_back({.n = 2, .h = 9, .w = 6, .c = 16, .k = 8, .r = 2, .s = 5, .stride = 2, .padding = 3});  // phases differ
  expect_tma_convolves(problems, GetParam(), 19);
}

/// Both kinds of loads feed the same products in the same order.
TEST_P(ByTma, has_the_bits_of_loads_by_threads) {
  const auto bits = [](const Conv2d::Problem& problem, Conv2d::Pass pass, Loads loads) {
    Exec exec;
    support::KernelCheck<Conv2d> samples(exec, problem);
    samples.run(exec, *make_with_tile(exec, problem, pass, GetParam(), Target(), loads), pass);
    EXPECT_EQ(loads_by_tma(exec) > 0, loads == Loads::by_tma);
    return support::on_host(samples.outputs(pass).front().values);
  };
  const int compared = for_tma(problems_for_tiles(), [&](const Conv2d::Problem& problem, Conv2d::Pass pass) {
    EXPECT_EQ(bits(problem, pass, Loads::by_tma), bits(problem, pass, Loads::by_threads)) << problem.describe();
  });
  EXPECT_GE(compared, 10);
}

INSTANTIATE_TEST_SUITE_P(conv2d, ByTma, testing::Values(TileSize::w64x64, TileSize::w128x64, TileSize::w128x128),
                         [](const auto& of) { return "size_" + std::to_string(static_cast<int>(of.param)); });

TEST(ConvolutionByTma, leaves_operands_that_are_not_aligned_to_threads) {
  const Conv2d::Problem problem{.n = 1, .h = 4, .w = 4, .c = 16, .k = 8, .r = 3, .s = 3, .padding = 1, .type = DType::bfloat16};
  std::vector<BFloat16> x(4 * 4 * 16), y(4 * 4 * 8), expected(y.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = BFloat16(static_cast<float>(i % 23));
  const std::vector<float> w(8 * 3 * 3 * 16, 0.5F);
  const auto convolve = [&](std::size_t first, std::vector<BFloat16>& to) {
    Exec exec;
    const auto kernel = make_by_tma(exec, problem, Conv2d::Pass::forward, Target());
    const auto source = std::span(x).subspan(first, 4 * 4 * 16);
    kernel->forward(exec, ConstSpan<BFloat16>(source), Weights(ConstSpan<float>(std::span(w))), Span<BFloat16>(std::span(to)));
    return loads_by_tma(exec);
  };
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(x.data()) % 16, 0U);
  EXPECT_GT(convolve(0, expected), 0);
  std::vector<BFloat16> shifted(x.size() + 1);
  std::copy(x.begin(), x.end(), shifted.begin() + 1);
  x.swap(shifted);
  EXPECT_EQ(convolve(1, y), 0);
  EXPECT_EQ(std::vector<float>(y.begin(), y.end()), std::vector<float>(expected.begin(), expected.end()));
}

TEST(ConvolutionByTma, is_right_for_edge_cases) {
  std::vector<Conv2d::Problem> problems;
  for (const auto& named : cases::edge_cases<Conv2d>()) problems.push_back(named.problem);
  expect_tma_convolves(problems, TileSize::w64x64, 4);
}

TEST(ConvolutionByTma, supports_what_boxes_of_images_can_describe) {
  using Pass = Conv2d::Pass;
  const Conv2d::Problem good{
      .n = 2, .h = 9, .w = 9, .c = 16, .k = 16, .r = 3, .s = 3, .stride = 2, .padding = 1, .type = DType::bfloat16};
  const auto with = [&](const auto& change, Pass pass) {
    Conv2d::Problem problem = good;
    change(problem);
    return tma_supports(problem, pass);
  };
  const auto both = [&](const auto& change) { return with(change, Pass::forward) || with(change, Pass::backward_input); };
  EXPECT_TRUE(tma_supports(good, Pass::forward) && tma_supports(good, Pass::backward_input));
  EXPECT_FALSE(tma_supports(good, Pass::backward_weight));
  EXPECT_FALSE(both([](auto& p) { p.type = DType::float32; }));
  EXPECT_FALSE(both([](auto& p) { p.c = 12; }));
  EXPECT_TRUE(with([](auto& p) { p.k = 12; }, Pass::forward));
  EXPECT_FALSE(with([](auto& p) { p.k = 12; }, Pass::backward_input));
  EXPECT_TRUE(with([](auto& p) { p.stride = 8; }, Pass::forward));
  EXPECT_FALSE(with([](auto& p) { p.stride = 9; }, Pass::forward));
  EXPECT_FALSE(with([](auto& p) { p.stride = 3; }, Pass::backward_input));  // nine phases
  EXPECT_TRUE(with([](auto& p) { p.padding = 128, p.r = p.s = 129; }, Pass::forward));
  EXPECT_TRUE(with([](auto& p) { p.h = 1, p.padding = 128, p.r = 256, p.stride = 1; }, Pass::forward));
  EXPECT_FALSE(both([](auto& p) { p.h = 1, p.padding = 128, p.r = 257, p.stride = 1; }));
  EXPECT_FALSE(both([](auto& p) { p.padding = 129, p.r = p.s = 131, p.stride = 1; }));
  EXPECT_FALSE(with([](auto& p) { p.h = p.w = 200, p.r = p.s = 131; }, Pass::forward));
}

/// Enough pixels for more splits than are joined in one level, which end in the middle of images.
Conv2d::Problem problem_for_splits() { return {.n = 11, .h = 31, .w = 30, .c = 8, .k = 8, .r = 1, .s = 1}; }

TEST(WeightGradient, is_right_with_splits_in_two_levels) {
  Conv2d::Problem problem = problem_for_splits();
  problem.type = DType::bfloat16;
  const WeightWork work{problem.k, problem.c, std::int64_t{problem.n} * problem.h * problem.w, false, false};
  const WeightSplit split = split_weight<BFloat16>(TileSize::best, work);
  ASSERT_GT(PartGroups::of(split.splits).groups(), 1);
  ASSERT_NE(split.stages * 64 % (problem.h * problem.w), 0);
  Exec exec;
  support::KernelCheck<Conv2d> samples(exec, problem);
  constexpr auto kPass = Conv2d::Pass::backward_weight;
  expect_right(exec, samples, *emulated<Conv2d>().make(exec, problem, kPass), kPass, problem.describe());
}

/// The results of a pass with blocks in the order of `seed`.
template <class Op>
std::vector<std::vector<float>> results(const typename Op::Problem& problem, typename Op::Pass pass, std::uint32_t seed) {
  Exec exec;
  settings(exec) = {.schedule = Schedule::random, .seed = seed, .check_races = false};
  support::KernelCheck<Op> samples(exec, problem);
  samples.run(exec, *emulated<Op>().make(exec, problem, pass), pass);
  std::vector<std::vector<float>> all;
  for (const auto& output : samples.outputs(pass)) all.push_back(support::on_host(output.values));
  return all;
}

template <class Op>
void expect_same_in_any_order(typename Op::Problem problem, typename Op::Pass pass) {
  for (const DType type : {DType::float32, DType::bfloat16}) {
    problem.type = type;
    const auto first = results<Op>(problem, pass, 1);
    for (std::uint32_t seed = 2; seed < 6; ++seed) EXPECT_EQ(results<Op>(problem, pass, seed), first) << problem.describe();
  }
}

TEST(OrderOfBlocks, does_not_change_a_bit) {
  expect_same_in_any_order<Conv2d>(problem_for_splits(), Conv2d::Pass::backward_weight);
  const BatchNorm::Problem batch_norm{.rows = 1111, .c = 40, .residual = true, .relu = true};
  expect_same_in_any_order<BatchNorm>(batch_norm, BatchNorm::Pass::forward_training);
  expect_same_in_any_order<BatchNorm>(batch_norm, BatchNorm::Pass::backward);
  expect_same_in_any_order<Linear>({.n = 700, .c = 9, .k = 10}, Linear::Pass::backward_weight);
  expect_same_in_any_order<SoftmaxCrossEntropy>({.n = 133, .classes = 10}, SoftmaxCrossEntropy::Pass::forward);
}

/// Runs a pass with a copy of the weights in bfloat16, and weights of NaN.
template <class Op, class Run>
void expect_the_copy_is_read(const std::vector<cases::Case<Op>>& all, const Run& run) {
  for (const auto& named : all) {
    typename Op::Problem problem = named.problem;
    problem.type = DType::bfloat16;
    Exec exec;
    support::KernelCheck<Op> samples(exec, problem);
    for (const auto pass : {Op::Pass::forward, Op::Pass::backward_input}) {
      const auto inputs = samples.inputs(pass);
      const auto weights = std::find_if(inputs.begin(), inputs.end(), [](const auto& input) { return input.name == "w"; });
      ASSERT_NE(weights, inputs.end());
      const auto kernel = emulated<Op>().make(exec, problem, pass);
      samples.run(exec, *kernel, pass);
      const Out output = samples.outputs(pass).front().values;
      const auto expected = support::on_host(output);
      const auto values = support::on_host(weights->values);
      const std::vector<BFloat16> copy(values.begin(), values.end());
      const std::vector<float> unread(values.size(), std::numeric_limits<float>::quiet_NaN());
      run(exec, *kernel, pass, inputs, Weights(ConstSpan<float>(std::span(unread)), ConstSpan<BFloat16>(std::span(copy))),
          output);
      EXPECT_EQ(support::on_host(output), expected) << named.name;
    }
  }
}

TEST(RoundedWeights, are_read_in_place_of_the_weights) {
  using Inputs = std::vector<support::CheckedInput>;
  expect_the_copy_is_read<Conv2d>(cases::edge_cases<Conv2d>(), [](Exec& exec, Conv2d::Kernel& kernel, Conv2d::Pass pass,
                                                                  const Inputs& inputs, const Weights& w, Out output) {
    if (pass == Conv2d::Pass::forward) return kernel.forward(exec, inputs.front().values, w, output);
    kernel.backward_input(exec, inputs.front().values, w, output, Write::overwrite);
  });
  expect_the_copy_is_read<Linear>(cases::edge_cases<Linear>(), [](Exec& exec, Linear::Kernel& kernel, Linear::Pass pass,
                                                                  const Inputs& inputs, const Weights& w, Out output) {
    if (pass == Linear::Pass::backward_input) {
      return kernel.backward_input(exec, inputs.front().values, w, output, Write::overwrite);
    }
    kernel.forward(exec, inputs.front().values, w, inputs.at(2).values.as<float>("b"), output);
  });
}

}  // namespace
}  // namespace apam::kernels::cuda
