// Several gradients in one call of the master, and workers that leave: what one pass covers, what replies and records say.
#include <gtest/gtest.h>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

/// A master and its workers, whose gradients are those of one source: 1 at the first weights.
class Passes : public testing::Test {
 protected:
  void start(int workers, const Schedule& schedule) {
    model.emplace(QuadraticOptions{}, sgd(0.25), workers);
    state.emplace(model->updater, model->history, MasterOptions{.workers = workers, .schedule = schedule});
    master.emplace(*state, recorder);
    std::vector<Event> events;
    for (int worker = 0; worker < workers; ++worker) events.emplace_back(Joined{worker});
    master->on(events);
    gradient[0] = 1;
  }

  Event ready(int worker, std::int64_t version, std::int64_t batch, int signal = 0) {
    return GradientReady{
        {worker, {.computed_at = version, .batch = batch, .rows = 1, .signal = signal}, std::span<const float>(gradient)}};
  }
  void on(const std::vector<Event>& events) { master->on(events); }

  std::vector<float> gradient = std::vector<float>(16);
  std::optional<Model> model;
  std::optional<MasterState> state;
  std::optional<HandDriven> master;
  Recorder recorder;
};

using Numbers = std::vector<std::int64_t>;

TEST_F(Passes, StalenessIsExactWithinAPassAndRepliesHaveItsVersion) {
  start(3, {9});
  on({ready(2, 0, 2), ready(0, 0, 0), ready(1, 0, 1)});
  EXPECT_EQ(recorder.staleness(), (Numbers{0, 1, 2}));
  EXPECT_EQ(recorder.workers(), (std::vector<int>{2, 0, 1}));
  EXPECT_EQ(recorder.passes(), (std::vector<std::vector<int>>{{2, 0, 1}}));
  for (const int worker : {0, 1, 2}) {
    EXPECT_EQ(master->latest(worker).reply.version, 3);
    EXPECT_EQ(master->latest(worker).weights.host()[0], 0.25F);
  }
  EXPECT_EQ(master->latest(2).reply.leases[0], 6) << "leases are dealt in order of arrival";
  on({ready(1, 3, 4)});
  EXPECT_EQ(recorder.staleness().back(), 0);
}

TEST_F(Passes, ASnapshotEndsItsPassSoThatItsVersionExists) {
  start(4, {8, 3});
  on({ready(0, 0, 0), ready(1, 0, 1), ready(2, 0, 2), ready(3, 0, 3)});
  EXPECT_EQ(recorder.snapshots, Numbers{3});
  EXPECT_EQ(recorder.states[0][0], 0.25F);
  EXPECT_EQ(recorder.passes(), (std::vector<std::vector<int>>{{0, 1, 2}, {3}}));
  EXPECT_EQ(master->latest(0).reply.version, 3);
  EXPECT_EQ(master->latest(3).reply.version, 4);
}

TEST_F(Passes, HaveAtMostEightGradients) {
  start(10, {20});
  std::vector<Event> events;
  for (int worker = 0; worker < 10; ++worker) events.push_back(ready(worker, 0, worker));
  on(events);
  ASSERT_EQ(recorder.passes().size(), 2U);
  EXPECT_EQ(recorder.passes()[0].size(), 8U);
  EXPECT_EQ(recorder.staleness(), (Numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(Passes, ASignalInAHeaderEndsTheRunAtItsUpdate) {
  start(3, {9});
  on({ready(0, 0, 0), ready(1, 0, 1, 15), ready(2, 0, 2)});
  EXPECT_EQ(state->ending().why, Ending::Why::interrupted);
  EXPECT_EQ(state->ending().update, 2);
  EXPECT_EQ(model->state()[0], 0.5F) << "the third gradient is not applied";
  EXPECT_TRUE(state->done());
  EXPECT_EQ(state->leases().applied, 2);
  EXPECT_EQ(state->leases().abandoned, 4);
}

TEST_F(Passes, ALossThatIsNotFiniteEndsTheRunAfterTheGradientsBeforeIt) {
  start(2, {9});
  Event diverged = ready(1, 0, 1);
  std::get<GradientReady>(diverged).message.header.loss_sum = std::numeric_limits<double>::infinity();
  on({ready(0, 0, 0), diverged});
  EXPECT_EQ(state->ending().why, Ending::Why::diverged);
  EXPECT_EQ(state->divergence()->update, 2);
  EXPECT_EQ(model->state()[0], 0.75F);
}

TEST_F(Passes, AWorkerCanHaveOneGradientInACall) {
  start(2, {9});
  EXPECT_THROW(on({ready(0, 0, 0), ready(0, 0, 2)}), ExchangeError);
}

TEST_F(Passes, LeasesOfAWorkerThatLeavesAreDealtAgain) {
  start(3, {8});
  on({Departed{1, "killed"}});  // 1 and 4
  on({ready(0, 0, 0)});
  EXPECT_EQ(master->latest(0).reply.leases[0], 1) << "the lowest comes first";
  on({ready(2, 0, 2)});
  EXPECT_EQ(master->latest(2).reply.leases[0], 4);
  EXPECT_EQ(state->leases().abandoned, 2);
  EXPECT_THROW(on({ready(1, 0, 1)}), ExchangeError);
  EXPECT_EQ(recorder.departures, (std::vector<std::string>{"1: killed"}));
}

TEST_F(Passes, AWorkerThatWaitsForALeaseGetsThoseOfOneThatLeaves) {
  start(2, {3});
  on({ready(1, 0, 1)});
  EXPECT_FALSE(master->answered(1));
  on({Departed{0, "killed"}});  // 0 and 2
  ASSERT_TRUE(master->answered(1));
  EXPECT_EQ(master->latest(1).reply.leases[0], 0);
  EXPECT_EQ(master->latest(1).reply.version, 1);
  on({ready(1, 1, 0)});
  on({ready(1, 2, 2)});
  EXPECT_TRUE(state->done());
  EXPECT_EQ(state->ending().why, Ending::Why::complete);
  EXPECT_EQ(state->leases().granted, 5);
}

TEST_F(Passes, AGradientThatCameBeforeTheDepartureIsApplied) {
  start(2, {9});
  on({ready(0, 0, 0), Departed{0, "killed"}});
  EXPECT_EQ(state->version(), 1);
  EXPECT_FALSE(master->answered(0));
  EXPECT_EQ(state->leases().abandoned, 2) << "one that it held, and the one of the reply that was not sent";
}

TEST_F(Passes, ARunThatAllHaveLeftIsDeserted) {
  start(2, {9});
  on({ready(1, 0, 1), Departed{0, "killed"}});
  on({Departed{1, "killed"}, Departed{1, "again"}});
  EXPECT_TRUE(state->done());
  EXPECT_EQ(state->ending().why, Ending::Why::deserted);
  EXPECT_EQ(state->ending().update, 1);
}

}  // namespace
}  // namespace apam::exchange::test
