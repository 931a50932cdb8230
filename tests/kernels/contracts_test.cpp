// What contracts guarantee beyond right results, for every provider on the CPU: element-wise steps do not depend on the number
// of threads, operations run in place if the contract allows it, each gradient follows its own Write, batch norm tolerates a
// mean far from zero, and a label counts only if its logit is finite and ranks first.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/reference/batch_norm.h"
#include "kernels/runtime/philox.h"
#include "tests/cases/cases.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

using Vector = std::vector<float>;

Vector normals(std::size_t size, std::uint64_t stream, float mean = 0) {
  const Random random(3, Purpose::sample, stream);
  Vector values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = mean + random.normal(i);
  return values;
}

ConstSpan<float> in(const Vector& values) { return {values.data(), values.size()}; }
Span<float> out(Vector& values) { return {values.data(), values.size()}; }

/// Calls visit(implementation) for every provider on the CPU that supports `pass` of `problem`, and names it in failures.
template <class Op, class Visit>
void for_providers(const typename Op::Problem& problem, typename Op::Pass pass, Visit visit) {
  for (const auto& implementation : implementations<Op>()) {
    if (implementation.device != DeviceKind::cpu || !implementation.supports(problem, pass)) continue;
    SCOPED_TRACE(fmt::format("{} of {} by {}", Op::name, problem.describe(), implementation.provider));
    visit(implementation);
  }
}

/// The results of an update on a number of threads.
template <class Op>
std::vector<Vector> updated(const Implementation<Op>& implementation, const typename Op::Problem& problem, int threads) {
  Exec exec({.threads = threads});
  support::KernelCheck<Op> samples(exec, problem);
  const auto kernel = implementation.make(exec, problem, Op::Pass::update);
  samples.run(exec, *kernel, Op::Pass::update);
  std::vector<Vector> all;
  for (const auto& output : samples.outputs(Op::Pass::update)) all.push_back(support::on_host(output.values));
  return all;
}

template <class Op>
void expect_same_on_any_number_of_threads() {
  for (const auto& named : cases::edge_cases<Op>()) {
    for_providers<Op>(named.problem, Op::Pass::update, [&](const auto& implementation) {
      const auto one = updated(implementation, named.problem, 1);
      EXPECT_EQ(one, updated(implementation, named.problem, 2));
      EXPECT_EQ(one, updated(implementation, named.problem, 3));
    });
  }
}

TEST(Contract, optimizer_steps_do_not_depend_on_threads) { expect_same_on_any_number_of_threads<OptimizerStep>(); }

/// m, v, vh; those that the rule lacks are empty.
std::array<Vector, 3> zero_moments(const OptimizerStep::Problem& problem) {
  std::array<Vector, 3> moments;
  for (std::size_t i = 0; i < OptimizerStep::moments_of(problem.rule); ++i) {
    moments.at(i).resize(static_cast<std::size_t>(problem.size));
  }
  return moments;
}

/// Weights, then moments, after steps by `gradients`, `at_once` per call.
std::vector<Vector> after_steps(const Implementation<OptimizerStep>& implementation, OptimizerStep::Problem problem,
                                const std::vector<Vector>& gradients, int at_once, bool in_place) {
  Exec exec({.threads = 2});
  problem.gradients = at_once;
  const auto kernel = implementation.make(exec, problem, OptimizerStep::Pass::update);
  const auto size = static_cast<std::size_t>(problem.size);
  Vector w = normals(size, 100);
  auto [m, v, vh] = zero_moments(problem);
  for (std::size_t begin = 0; begin < gradients.size(); begin += static_cast<std::size_t>(at_once)) {
    std::vector<ConstSpan<float>> g;
    Vector rates;
    for (std::size_t k = begin; k < begin + static_cast<std::size_t>(at_once); ++k) {
      g.emplace_back(gradients[k].data(), size);
      rates.push_back(1e-3F * static_cast<float>(k + 1));
    }
    Vector next(size);
    Vector& to = in_place ? w : next;
    kernel->update(exec, {.weight_decay = 1e-3F, .momentum = 0.9F}, {.rates = in(rates), .g = g, .from = in(w)}, out(to),
                   {out(m), out(v), out(vh)});
    if (!in_place) w = next;
  }
  return {w, m, v, vh};
}

TEST(Contract, several_gradients_in_one_pass_give_the_bits_of_single_steps) {
  constexpr std::int64_t kSize = 1037;
  for (const auto rule : OptimizerStep::rules) {
    for (int count = 1; count <= OptimizerStep::kMostGradients; ++count) {
      std::vector<Vector> gradients;
      for (int k = 0; k < count; ++k) gradients.push_back(normals(kSize, static_cast<std::uint64_t>(k)));
      const OptimizerStep::Problem problem{kSize, rule, count};
      for_providers<OptimizerStep>(problem, OptimizerStep::Pass::update, [&](const auto& implementation) {
        const auto singly = after_steps(implementation, problem, gradients, 1, true);
        EXPECT_EQ(singly, after_steps(implementation, problem, gradients, count, true)) << problem.describe();
        EXPECT_EQ(singly, after_steps(implementation, problem, gradients, count, false)) << problem.describe();
      });
    }
  }
}

/// The place of the first weight that is not finite after a step whose gradient is `value` at these elements.
std::int64_t place_found(const Implementation<OptimizerStep>& implementation, const OptimizerStep::Problem& problem,
                         const std::vector<std::size_t>& at, float value) {
  Exec exec({.threads = 3});
  const auto size = static_cast<std::size_t>(problem.size);
  Vector g = normals(size, 1), w = normals(size, 2);
  auto [m, v, vh] = zero_moments(problem);
  for (const std::size_t e : at) g[e] = value;
  std::vector<BFloat16> rounded(size);
  const Vector rates{1e-3F};
  const ConstSpan<float> gradient = in(g);
  std::int64_t place = kNone;
  implementation.make(exec, problem, OptimizerStep::Pass::update)
      ->update(exec, {.momentum = 0.9F}, {.rates = in(rates), .g = std::span(&gradient, 1), .from = in(w)},
               {out(w), Span<BFloat16>(std::span(rounded)), FirstNonFinite(&place, 1)}, {out(m), out(v), out(vh)});
  for (std::size_t e = 0; e < size; ++e) {
    const bool same = std::isnan(w[e]) ? std::isnan(float(rounded[e])) : rounded[e].bits() == BFloat16(w[e]).bits();
    EXPECT_TRUE(same) << "the copy of " << w[e] << " is " << float(rounded[e]);
  }
  return place;
}

TEST(Contract, without_weight_decay_a_gradient_does_not_depend_on_the_weight) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const auto rule : OptimizerStep::rules) {
    const OptimizerStep::Problem problem{100, rule};
    for_providers<OptimizerStep>(problem, OptimizerStep::Pass::update, [&](const auto& implementation) {
      Exec exec({.threads = 1});
      const Vector g = normals(100, 1), rates{1e-3F};
      Vector w(100, kInf);
      auto [m, v, vh] = zero_moments(problem);
      const ConstSpan<float> gradient = in(g);
      implementation.make(exec, problem, OptimizerStep::Pass::update)
          ->update(exec, {.momentum = 0.9F}, {.rates = in(rates), .g = std::span(&gradient, 1), .from = in(w)}, {out(w)},
                   {out(m), out(v), out(vh)});
      EXPECT_EQ(w, Vector(100, kInf));
      for (const Vector& moment : {m, v, vh})
        EXPECT_TRUE(std::all_of(moment.begin(), moment.end(), [](float value) { return std::isfinite(value); }));
    });
  }
}

TEST(Contract, an_optimizer_step_rounds_its_weights_and_finds_the_first_that_is_not_finite) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  for (const auto rule : OptimizerStep::rules) {
    for (const std::int64_t size : {1, 5, 1000, 20001}) {
      const OptimizerStep::Problem problem{size, rule};
      const auto last = static_cast<std::size_t>(size) - 1;
      for_providers<OptimizerStep>(problem, OptimizerStep::Pass::update, [&](const auto& implementation) {
        EXPECT_EQ(place_found(implementation, problem, {}, 0), kNone);
        EXPECT_EQ(place_found(implementation, problem, {last}, kNan), size - 1);
        EXPECT_EQ(place_found(implementation, problem, {last / 2, last}, kInf), static_cast<std::int64_t>(last / 2));
        EXPECT_EQ(place_found(implementation, problem, {0, last}, -kInf), 0);
      });
    }
  }
}

TEST(Contract, a_running_average_finds_its_first_value_that_is_not_finite_and_keeps_an_earlier_place) {
  constexpr RunningAverage::Problem kProblem{20001};
  for_providers<RunningAverage>(kProblem, RunningAverage::Pass::update, [&](const auto& implementation) {
    Exec exec({.threads = 3});
    const auto kernel = implementation.make(exec, kProblem, RunningAverage::Pass::update);
    Vector batch = normals(20001, 1), running = normals(20001, 2);
    std::int64_t place = kNone;
    const auto update = [&] { kernel->update(exec, 0.1F, in(batch), out(running), FirstNonFinite(&place, 1)); };
    update();
    EXPECT_EQ(place, kNone);
    batch[15000] = std::numeric_limits<float>::quiet_NaN();
    update();
    EXPECT_EQ(place, 15000);
    place = 3;
    update();
    EXPECT_EQ(place, 3);
    batch[2] = std::numeric_limits<float>::infinity();
    update();
    EXPECT_EQ(place, 2);
    kernel->update(exec, 0.1F, in(batch), out(running), {});  // without a place
  });
}

TEST(Contract, running_averages_do_not_depend_on_threads) { expect_same_on_any_number_of_threads<RunningAverage>(); }

TEST(Contract, add_may_write_over_either_operand) {
  for (const auto& named : cases::edge_cases<Add>()) {
    for_providers<Add>(named.problem, Add::Pass::forward, [&](const auto& implementation) {
      const auto size = static_cast<std::size_t>(named.problem.size);
      const Vector a = normals(size, 1), b = normals(size, 2);
      Exec exec({.threads = 2});
      const auto kernel = implementation.make(exec, named.problem, Add::Pass::forward);
      Vector apart(size), over_a = a, over_b = b, twice = a;
      kernel->forward(exec, in(a), in(b), out(apart));
      kernel->forward(exec, in(over_a), in(b), out(over_a));
      kernel->forward(exec, in(a), in(over_b), out(over_b));
      kernel->forward(exec, in(twice), in(twice), out(twice));
      EXPECT_EQ(apart, over_a);
      EXPECT_EQ(apart, over_b);
      for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(twice[i], 2 * a[i]);
    });
  }
}

TEST(Contract, scale_may_write_over_its_operand) {
  for (const auto& named : cases::edge_cases<Scale>()) {
    for_providers<Scale>(named.problem, Scale::Pass::forward, [&](const auto& implementation) {
      const Vector x = normals(static_cast<std::size_t>(named.problem.size), 1);
      Exec exec({.threads = 2});
      const auto kernel = implementation.make(exec, named.problem, Scale::Pass::forward);
      Vector apart(x.size()), over = x;
      kernel->forward(exec, in(x), out(apart));
      kernel->forward(exec, in(over), out(over));
      EXPECT_EQ(apart, over);
    });
  }
}

/// A training forward pass in double.
struct BatchNormRun {
  BatchNormRun(const BatchNorm::Problem& p, const Vector& x, const Vector& residual, const Vector& gamma, const Vector& beta)
      : y(p.size()), mean(gamma.size()), variance(gamma.size()), inv_std(gamma.size()) {
    const std::vector<double> xs(x.begin(), x.end()), rs(residual.begin(), residual.end());
    const std::vector<double> gammas(gamma.begin(), gamma.end()), betas(beta.begin(), beta.end());
    reference::batch_norm_forward_training<double>(p, {xs.data(), rs.data(), gammas.data(), betas.data()}, y.data(),
                                                   {mean.data(), variance.data(), inv_std.data()});
  }
  std::vector<double> y, mean, variance, inv_std;
};

Vector floats(const std::vector<double>& values) {
  Vector result(values.size());
  std::transform(values.begin(), values.end(), result.begin(), [](double value) { return static_cast<float>(value); });
  return result;
}

TEST(Contract, each_batch_norm_gradient_follows_its_own_write) {
  constexpr BatchNorm::Problem kProblem{.rows = 50, .c = 12, .residual = true, .relu = true};
  const Vector x = normals(600, 1), residual = normals(600, 2), dy = normals(600, 3), gamma = normals(12, 4, 1), beta(12);
  const BatchNormRun run(kProblem, x, residual, gamma, beta);
  const Vector y = floats(run.y), mean = floats(run.mean), inv_std = floats(run.inv_std);
  for_providers<BatchNorm>(kProblem, BatchNorm::Pass::backward, [&](const auto& implementation) {
    Exec exec({.threads = 2});
    const auto kernel = implementation.make(exec, kProblem, BatchNorm::Pass::backward);
    struct Result {
      Vector dx, d_residual, dgamma, dbeta;
    };
    const auto gradients = [&](float old, Write write_x, Write write_residual, Write write_parameters) {
      Result r{Vector(600, old), Vector(600, old), Vector(12, old), Vector(12, old)};
      kernel->backward(exec, in(dy), {in(x), in(y), in(mean), in(inv_std)}, in(gamma),
                       {out(r.dx), out(r.d_residual), out(r.dgamma), out(r.dbeta), write_x, write_residual, write_parameters});
      return r;
    };
    constexpr Write kOver = Write::overwrite, kAdd = Write::add;
    constexpr float kOld = 1024;  // adding it rounds a result by at most 2^-13
    const Result plain = gradients(0, kOver, kOver, kOver);
    const auto expect_shifted = [&](const char* name, const Vector& base, const Vector& got, Write write) {
      for (std::size_t i = 0; i < base.size(); ++i) {
        ASSERT_NEAR(got[i], base[i] + (write == kAdd ? kOld : 0), write == kAdd ? 0x1p-13 : 0) << name << "[" << i << "]";
      }
    };
    for (int choice = 0; choice < 8; ++choice) {
      const Write of_x = (choice & 1) != 0 ? kAdd : kOver, of_residual = (choice & 2) != 0 ? kAdd : kOver,
                  of_parameters = (choice & 4) != 0 ? kAdd : kOver;
      SCOPED_TRACE(choice);
      const Result mixed = gradients(kOld, of_x, of_residual, of_parameters);
      expect_shifted("dx", plain.dx, mixed.dx, of_x);
      expect_shifted("d_residual", plain.d_residual, mixed.d_residual, of_residual);
      expect_shifted("dgamma", plain.dgamma, mixed.dgamma, of_parameters);
      expect_shifted("dbeta", plain.dbeta, mixed.dbeta, of_parameters);
    }
  });
}

TEST(Contract, batch_norm_may_write_its_gradient_over_dy) {
  constexpr int kRows = 700, kChannels = 41;
  for (const bool residual : {false, true}) {
    for (const bool relu : {false, true}) {
      const BatchNorm::Problem problem{.rows = kRows, .c = kChannels, .residual = residual, .relu = relu};
      const Vector x = normals(problem.size(), 1), added = normals(problem.size(), 2), dy = normals(problem.size(), 3);
      const Vector gamma = normals(kChannels, 4, 1), beta(kChannels);
      const BatchNormRun run(problem, x, added, gamma, beta);
      const Vector y = floats(run.y), mean = floats(run.mean), inv_std = floats(run.inv_std);
      for_providers<BatchNorm>(problem, BatchNorm::Pass::backward, [&](const auto& implementation) {
        Exec exec({.threads = 2});
        const auto kernel = implementation.make(exec, problem, BatchNorm::Pass::backward);
        const BatchNorm::Saved saved{in(x), relu ? in(y) : ConstSpan<float>{}, in(mean), in(inv_std)};
        struct Result {
          Vector dx, d_residual, dgamma, dbeta;
          auto operator<=>(const Result&) const = default;
        };
        Result apart{Vector(dy.size()), Vector(dy.size()), Vector(kChannels), Vector(kChannels)};
        Result over{dy, Vector(dy.size()), Vector(kChannels), Vector(kChannels)};
        const auto gradients = [&](Result& r) {
          return BatchNorm::Gradients{out(r.dx), residual ? out(r.d_residual) : Span<float>{}, out(r.dgamma), out(r.dbeta)};
        };
        kernel->backward(exec, in(dy), saved, in(gamma), gradients(apart));
        kernel->backward(exec, in(over.dx), saved, in(gamma), gradients(over));
        EXPECT_TRUE(apart == over) << problem.describe();
      });
    }
  }
}

// A mean of kappa = 1000 deviations. A sum of `rows` such numbers has the relative error rho = 4 eps sqrt(rows) (see
// tests/support/tolerance.h), so the error of the mean is rho * kappa deviations. An error of delta in the mean adds rows *
// delta^2 to the sum of squares: the relative error of the variance is rho + (rho * kappa)^2. y has the error of the mean. The
// formula E[x^2] - E[x]^2 in float would have an error of rho * kappa^2, larger than the variance.
TEST(Contract, batch_norm_tolerates_a_mean_far_from_zero) {
  constexpr BatchNorm::Problem kProblem{.rows = 1024, .c = 24};
  constexpr double kKappa = 1000;
  const Vector x = normals(kProblem.size(), 1, 1000), gamma(24, 1.0F), beta(24);
  const BatchNormRun run(kProblem, x, {}, gamma, beta);
  const double rho = 4 * support::Tolerance::kEps * std::sqrt(1024.0);
  const double of_variance = rho + std::pow(rho * kKappa, 2);
  for_providers<BatchNorm>(kProblem, BatchNorm::Pass::forward_training, [&](const auto& implementation) {
    Exec exec({.threads = 2});
    const auto kernel = implementation.make(exec, kProblem, BatchNorm::Pass::forward_training);
    Vector y(kProblem.size()), mean(24), variance(24), inv_std(24);
    kernel->forward_training(exec, in(x), {}, in(gamma), in(beta), out(y), {out(mean), out(variance), out(inv_std)});
    for (std::size_t c = 0; c < 24; ++c) {
      EXPECT_NEAR(mean[c], run.mean[c], rho * run.mean[c]);
      EXPECT_NEAR(variance[c], run.variance[c], of_variance * run.variance[c]);
      EXPECT_NEAR(inv_std[c], run.inv_std[c], of_variance * run.inv_std[c]);
    }
    for (std::size_t e = 0; e < y.size(); ++e) {
      ASSERT_NEAR(y[e], run.y[e], 1.1 * rho * kKappa + of_variance * std::abs(run.y[e])) << e;  // deviations are 1 +- 0.1
    }
  });
}

enum class Loss : std::uint8_t { finite, infinite, nan };

Loss kind_of(float loss) { return std::isnan(loss) ? Loss::nan : std::isinf(loss) && loss > 0 ? Loss::infinite : Loss::finite; }

TEST(Contract, a_label_counts_only_if_its_logit_is_finite_and_ranks_first) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  const struct {
    const char* name;
    Vector logits;  // (7)
    std::int32_t label;
    Loss loss;
    float top1, top5;
  } rows[] = {
      {"all NaN", Vector(7, kNan), 0, Loss::nan, 0, 0},
      {"label NaN", {1, 2, kNan, 0, 0, 0, 0}, 2, Loss::nan, 0, 0},
      {"NaN first", {kNan, 2, 1, 0, 0, 0, 0}, 1, Loss::nan, 0, 1},
      {"NaN last", {0, 2, 1, 0, 0, 0, kNan}, 1, Loss::nan, 0, 1},
      {"five NaN", {kNan, kNan, kNan, 9, 0, kNan, kNan}, 3, Loss::nan, 0, 0},
      {"all +Inf", Vector(7, kInf), 0, Loss::nan, 0, 0},
      {"label +Inf", {0, kInf, 1, 0, 0, 0, 0}, 1, Loss::nan, 0, 0},
      {"another +Inf", {0, 3, kInf, 0, 0, 0, 0}, 1, Loss::nan, 0, 1},
      {"all -Inf", Vector(7, -kInf), 0, Loss::nan, 0, 0},
      {"label -Inf", {0, -kInf, 1, 0, 0, 0, 0}, 1, Loss::infinite, 0, 0},
      {"others -Inf", {-kInf, 3, -kInf, -kInf, -kInf, -kInf, -kInf}, 1, Loss::finite, 1, 1},
      {"largest floats", {-3e38F, 3e38F, 0, 0, 0, 0, 0}, 1, Loss::finite, 1, 1},
      {"tie, first", Vector(7, 0.5F), 0, Loss::finite, 1, 1},
      {"tie, fifth", Vector(7, 0.5F), 4, Loss::finite, 0, 1},
      {"tie, sixth", Vector(7, 0.5F), 5, Loss::finite, 0, 0},
  };
  using Op = SoftmaxCrossEntropy;
  constexpr Op::Problem kProblem{.n = 1, .classes = 7};
  for_providers<Op>(kProblem, Op::Pass::forward, [&](const auto& implementation) {
    for (const auto& row : rows) {
      Exec exec;
      const auto kernel = implementation.make(exec, kProblem, Op::Pass::forward);
      Vector probabilities(7), sums(Op::sum_count);
      kernel->forward(exec, in(row.logits), Labels(std::span(&row.label, 1)), out(probabilities), out(sums));
      EXPECT_EQ(kind_of(sums[Op::loss_sum]), row.loss) << row.name << ": loss " << sums[Op::loss_sum];
      EXPECT_EQ(sums[Op::top1_count], row.top1) << row.name;
      EXPECT_EQ(sums[Op::top5_count], row.top5) << row.name;
      const bool nan = row.loss == Loss::nan;
      for (const float probability : probabilities) EXPECT_EQ(std::isnan(probability), nan) << row.name;
    }
  });
}

}  // namespace
}  // namespace apam::kernels
