// The learning rate of every update.
#include "engine/optim/rate_schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/optim/optimizer.h"
#include "tests/support/throws.h"

namespace apam::engine {
namespace {

using Decay = RateSchedule::Decay;
using support::throws;

constexpr double kUlp = 0x1p-52;  // of values from 0.5 to 2, and more than that of smaller ones

TEST(RateSchedule, constant_is_exactly_one) {
  const RateSchedule schedule;
  for (const std::int64_t update : {std::int64_t{1}, std::int64_t{7}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(schedule.factor(update), 1.0);
  }
  const OptimizerOptions options{.learning_rate = 0.1 + 0.2};
  EXPECT_EQ(options.rate(1000), 0.1 + 0.2);
}

TEST(RateSchedule, warmup_is_linear) {
  const RateSchedule schedule{.warmup_updates = 4};
  EXPECT_EQ(schedule.factor(1), 0.25);
  EXPECT_EQ(schedule.factor(2), 0.5);
  EXPECT_EQ(schedule.factor(3), 0.75);
  EXPECT_EQ(schedule.factor(4), 1.0);
  EXPECT_EQ(schedule.factor(5), 1.0);
  EXPECT_EQ(RateSchedule{.warmup_updates = 1}.factor(1), 1.0);
}

TEST(RateSchedule, step_falls_after_every_step_updates) {
  const RateSchedule schedule{.decay = Decay::step, .step_updates = 3, .step_factor = 0.5};
  std::vector<double> factors;
  for (std::int64_t update = 1; update <= 10; ++update) factors.push_back(schedule.factor(update));
  EXPECT_EQ(factors, (std::vector<double>{1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125}));
  const RateSchedule warm{.decay = Decay::step, .warmup_updates = 4, .step_updates = 2, .step_factor = 0.5};
  EXPECT_EQ(warm.factor(1), 0.25);
  EXPECT_EQ(warm.factor(3), 0.375);  // 3/4 of one half
  EXPECT_EQ(warm.factor(5), 0.25);
}

TEST(RateSchedule, cosine_falls_from_one_to_almost_zero) {
  const RateSchedule schedule{.decay = Decay::cosine, .total_updates = 4};
  const double root = std::sqrt(0.5);
  EXPECT_EQ(schedule.factor(1), 1.0);
  EXPECT_NEAR(schedule.factor(2), 0.5 + 0.5 * root, 2 * kUlp);
  EXPECT_NEAR(schedule.factor(3), 0.5, 2 * kUlp);
  EXPECT_NEAR(schedule.factor(4), 0.5 - 0.5 * root, 2 * kUlp);
  const RateSchedule warm{.decay = Decay::cosine, .warmup_updates = 3, .total_updates = 6};  // 4 updates from the third on
  EXPECT_NEAR(warm.factor(1), 1.0 / 3, kUlp);
  EXPECT_EQ(warm.factor(3), 1.0);
  for (std::int64_t update = 3; update <= 6; ++update) EXPECT_EQ(warm.factor(update), schedule.factor(update - 2));
  EXPECT_EQ((RateSchedule{.decay = Decay::cosine, .total_updates = 1}.factor(1)), 1.0);
}

TEST(RateSchedule, lower_bound_holds) {
  for (const auto decay : {Decay::constant, Decay::step, Decay::cosine}) {
    for (const std::int64_t warmup : {0, 1, 5, 40, 60}) {
      const RateSchedule schedule{
          .decay = decay, .warmup_updates = warmup, .step_updates = 9, .step_factor = 0.3, .total_updates = 50};
      double smallest = 1;
      for (std::int64_t update = 1; update <= 50; ++update) smallest = std::min(smallest, schedule.factor(update));
      EXPECT_LE(schedule.lower_bound(), smallest);
      EXPECT_GT(schedule.lower_bound(), 0);
    }
  }
  EXPECT_EQ(RateSchedule{}.lower_bound(), 1.0);
}

TEST(RateSchedule, rejects_invalid_values) {
  EXPECT_TRUE(throws<InputError>({"-1"}, [] { RateSchedule{.warmup_updates = -1}.check(); }));
  EXPECT_TRUE(throws<InputError>({"1", "0"}, [] { RateSchedule{.decay = Decay::step}.check(); }));
  for (const double factor : {0.0, -1.0, 1.5, std::nan("")}) {
    EXPECT_THROW((RateSchedule{.decay = Decay::step, .step_updates = 1, .step_factor = factor}.check()), InputError) << factor;
  }
  EXPECT_THROW(RateSchedule{.decay = Decay::cosine}.check(), InputError);
  EXPECT_TRUE(throws<InputError>({"constant", "step", "cosine", "linear"}, [] { parse_decay("linear"); }));
  for (const auto decay : {Decay::constant, Decay::step, Decay::cosine}) EXPECT_EQ(parse_decay(to_string(decay)), decay);
}

TEST(RateSchedule, rates_that_float32_cannot_hold_are_refused) {
  OptimizerOptions options{.rule = kernels::OptimizerStep::Rule::sgd, .learning_rate = 1e-3};
  options.schedule = {.decay = Decay::step, .step_updates = 1, .step_factor = 0.1, .total_updates = 30};
  EXPECT_NO_THROW(Optimizer({}, 4, options));
  options.schedule.total_updates = 40;  // 1e-42
  EXPECT_TRUE(throws<InputError>({"learning rates", "1.18e-38", "1e-42"}, [&] { Optimizer({}, 4, options); }));
}

}  // namespace
}  // namespace apam::engine
