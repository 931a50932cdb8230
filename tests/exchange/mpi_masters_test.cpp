// Several masters that exchange messages, for 3 or more ranks: for any number of them the state has the bits of a script with
// the same order of arrival on one master, as have all snapshots with one worker.
#include <gtest/gtest.h>

#include "apam/exchange/error.h"
#include "apam/exchange/local/threads.h"
#include "tests/exchange/mpi_masters_run.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

const UpdateRecord& by_batch(const Recorder& recorder, std::int64_t batch) {
  return *std::ranges::find_if(recorder.records, [&](const UpdateRecord& one) { return one.header.batch == batch; });
}

TEST(MpiMasters, LeaveTheBitsOfOne) {
  with_masters([](int masters) {
    const MastersRun run({.masters = masters});
    if (!run.orders()) return;
    ASSERT_EQ(run.recorder.records.size(), 60U);
    EXPECT_EQ(run.model.state(), run.replayed()) << masters;
    EXPECT_EQ(run.recorder.snapshots, (std::vector<std::int64_t>{15, 30, 45, 60}));
    EXPECT_EQ(run.recorder.states.back(), run.model.state());
    if (run.workers() > 1) return;
    Recorder local;
    EXPECT_EQ(train_direct(kModel, amsgrad(0.01), {60, 15}, local), run.model.state());
    EXPECT_EQ(run.recorder.states, local.states);
  });
}

TEST(MpiMasters, LargeMessagesLeaveTheBitsOfOne) {
  with_masters([](int masters) {
    for (const Between between : {Between::wait, Between::compute_ahead}) {
      const MastersRun run({.masters = masters, .quadratic = kLargeModel, .schedule = {24}, .between = between});
      if (!run.orders()) continue;
      EXPECT_EQ(run.model.state(), run.replayed()) << masters;
      // Every range of a version goes to a worker before each of its gradients; and once to those that are not applied.
      const auto layout = quadratic_layout(kLargeModel);
      const auto least = static_cast<std::int64_t>(24 * (2 * layout.weights_size() + layout.statistics_size()) * sizeof(float));
      EXPECT_GE(run.bytes, least);
    }
  });
}

// Of policies that apply every gradient the order of arrival is all that a script needs.
TEST(MpiMasters, PoliciesLeaveTheBitsOfOneMaster) {
  const std::vector<PolicyOptions> policies{{.name = "scaled", .factor = 0.5},
                                            {.name = "fadas", .bound = 1},
                                            {.name = "cgad", .bound = 4, .factor = 0.25},
                                            {.name = "compensated", .factor = 0.5},
                                            {.name = "rescaled"}};
  with_masters([&](int masters) {
    for (const PolicyOptions& policy : policies) {
      for (const Between between : {Between::wait, Between::compute_ahead}) {
        const MastersRun run({.masters = masters, .schedule = {30}, .policy = policy, .between = between});
        if (!run.orders()) continue;
        EXPECT_EQ(run.model.state(), run.replayed()) << masters << " masters, " << policy.name;
      }
    }
  });
}

// Gradients that are kept for a mean, refused or cancelled reach every master, and the log names only some of them.
TEST(MpiMasters, KeepAndDropWhatThePolicySays) {
  with_masters([](int masters) {
    const MastersRun mean({.masters = masters, .schedule = {15, 5}, .policy = {.name = "rennala", .gradients = 2}});
    if (mean.orders()) {
      EXPECT_EQ(mean.leases.applied, 30);
      EXPECT_EQ(mean.leases.granted, mean.leases.ended());
    }
    const MastersRun bound(
        {.masters = masters, .policy = {.name = "ringmaster", .bound = 1}, .step = std::chrono::milliseconds(30)});
    if (!bound.orders()) return;
    EXPECT_EQ(bound.leases.applied, 60);
    EXPECT_EQ(bound.leases.granted, bound.leases.ended());
    if (bound.workers() > 1) {
      EXPECT_GT(bound.leases.refused + bound.leases.cancelled, 0);
    }
  });
}

TEST(MpiMasters, TheMeanOfOneWorkerIsThatOfOneMaster) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  const PolicyOptions rennala{.name = "rennala", .gradients = 3};
  const MastersRun run({.masters = world().ranks() - 1, .schedule = {20}, .policy = rennala});
  if (!run.orders()) return;
  Model one(kModel, amsgrad(0.01));
  Recorder recorder;
  const auto policy = make_policy(rennala);
  MasterState master(one.updater, one.history, {.schedule = {20}, .policy = policy.get()});
  QuadraticSource source(kModel);
  ScriptedControl control;
  train_on_threads(master, std::vector<GradientSource*>{&source}, control, recorder);
  EXPECT_EQ(run.model.state(), one.state());
}

// The whole state is in the memory of the master that orders, although no snapshot asked for it.
TEST(MpiMasters, ASignalToAnyMasterStopsAtAWholeState) {
  with_masters([](int masters) {
    for (const int signalled : {0, masters - 1}) {
      const MastersRun run({.masters = masters, .schedule = {1'000'000}, .signalled = signalled});
      if (!run.orders()) continue;
      EXPECT_EQ(run.ending.why, Ending::Why::interrupted);
      EXPECT_EQ(run.ending.signal, 15);
      ASSERT_GT(run.ending.update, 0);
      if (run.workers() == 1) {
        Recorder local;
        EXPECT_EQ(run.model.state(), train_direct(kModel, amsgrad(0.01), {run.ending.update}, local)) << signalled;
      }
      EXPECT_EQ(run.leases.granted, run.leases.ended());
    }
  });
}

TEST(MpiMasters, NameTheFirstValueThatIsNotFinite) {
  with_masters([](int masters) {
    using Place = std::pair<std::size_t, std::string>;
    for (const auto& [element, tensor] : std::vector<Place>{{3, "w0"}, {130, "w2"}, {145, "bn.running_mean"}}) {
      const MastersRun run({.masters = masters, .schedule = {40}, .infinite = element});
      if (!run.orders()) continue;
      EXPECT_EQ(run.ending.why, Ending::Why::diverged);
      ASSERT_TRUE(run.divergence);
      EXPECT_EQ(run.divergence->what, tensor + " is not finite");
      const UpdateRecord& last = run.recorder.records.at(static_cast<std::size_t>(run.divergence->update - 1));
      const UpdateRecord& spoiled = by_batch(run.recorder, 7);
      EXPECT_EQ(last.update - last.place, spoiled.update - spoiled.place) << "the last of its pass";
    }
  });
}

TEST(MpiMasters, RunsFollowOneAnother) {
  with_masters([](int masters) {
    for (int i = 0; i < 6; ++i) {
      const Order order = i % 2 == 0 ? Order::sequenced : Order::free;
      const MastersRun run({.masters = masters, .order = order, .schedule = {10}});
      if (!run.orders() || (order == Order::free && run.workers() > 1)) continue;
      EXPECT_EQ(run.model.state(), run.replayed());
    }
  });
}

TEST(MpiMasters, DifferentNumbersAreAnError) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  mpi::MessageSizes mine{.contribution = 64, .weights = 64};
  if (world().rank() == 2) {
    mine.masters = 2;
    mine.order = Order::free;
  }
  std::vector<float> weights(64);
  EXPECT_TRUE(support::throws<ExchangeError>({"rank 2", "with 2 and 1 masters", "free and sequenced as order"}, [&] {
    if (world().rank() == 0) {
      mpi::make_master_transport({world(), mine});
    } else {
      mpi::make_worker_transport({world(), mine}, std::span<float>(weights));
    }
  }));
}

}  // namespace
}  // namespace apam::exchange::test
