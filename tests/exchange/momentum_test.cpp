// Asynchronous SGD with momentum: the master has one momentum, which takes the gradients of all workers in the order of
// updates. One weight that starts at 1; its gradient is the weight. Rate 1/4, momentum 1/2.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <vector>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/local/scripted.h"
#include "apam/exchange/policies/policy.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

using Floats = std::vector<float>;

/// The weight after each update by these workers in turn, as far as there are `expected` ones.
void expect_weights(const Floats& expected, const std::vector<int>& workers, bool nesterov, const PolicyOptions& options = {}) {
  const int count = *std::max_element(workers.begin(), workers.end()) + 1;
  const auto policy = make_policy(options);
  Model model({}, momentum(0.25, 0.5, nesterov), count);
  const auto sources = make_sources({}, std::vector<std::chrono::milliseconds>(static_cast<std::size_t>(count)));
  MasterState master(model.updater, model.history,
                     {.workers = count, .schedule = {std::ssize(workers), 1}, .policy = policy.get()});
  std::vector<std::vector<int>> passes;
  for (const int worker : workers) passes.push_back({worker});
  ScriptedTransport transport(pointers(sources), std::vector<Span<float>>(static_cast<std::size_t>(count)), passes);
  Recorder recorder;
  ScriptedControl control;
  run_master(master, transport, control, recorder);
  Floats found;
  for (std::size_t i = 0; i < expected.size(); ++i) found.push_back(recorder.states.at(i)[0]);
  EXPECT_EQ(found, expected);
}

// g = 1, 1 (of the first weights), 3/8 (of the newest), 3/4; m = 1, 3/2, 9/8, 21/16.
TEST(Momentum, TakesTheGradientsOfAllWorkers) {
  expect_weights({0.75F, 0.375F, 0.09375F, -0.234375F}, {0, 1, 1, 0}, false);
  EXPECT_EQ(replay({}, momentum(0.25, 0.5), 2, {{0}, {1}, {1, 0}})[0], -0.234375F) << "the last two in one pass";
}

// g = 1, 1, 3/16, 5/8; m = 1, 3/2, 15/16, 35/32; steps along g + m / 2.
TEST(Momentum, NesterovTakesTheGradientsOfAllWorkers) {
  expect_weights({0.625F, 0.1875F, 0.0234375F, -0.26953125F}, {0, 1, 1, 0}, true);
  EXPECT_EQ(replay({}, momentum(0.25, 0.5, true), 2, {{0}, {1}, {1, 0}})[0], -0.26953125F) << "the last two in one pass";
}

// g = 1, 1, 9/16; m = 1, 3/2, 21/16. The second has tau = 1: its step has half the rate, and m all of its gradient.
TEST(Momentum, PoliciesOfTheRateScaleTheWholeStep) {
  expect_weights({0.75F, 0.5625F, 0.234375F}, {0, 1, 1, 0}, false, {.name = "scaled", .factor = 1.0});
}

// Gates 1, 1/2, 0: m = 1, 1, 1/2. A gradient that counts nothing still leaves a step along m.
TEST(Momentum, PoliciesOfTheGradientChangeItBefore) {
  expect_weights({0.75F, 0.5F, 0.375F}, {0, 1, 2}, false, {.name = "cgad", .bound = 2, .factor = 0.0});
}

// The second gradient is 1 - 2 * 1/4 = 1/2; m = 1, 1.
TEST(Momentum, TakesACompensatedGradient) {
  expect_weights({0.75F, 0.5F}, {0, 1}, false, {.name = "compensated", .factor = 2.0});
}

}  // namespace
}  // namespace apam::exchange::test
