// Several masters with orders of their own (Order::free), for 3 or more ranks. With one worker they leave the bits of one
// master; of several, all masters must have applied the same gradients, each once.
#include <gtest/gtest.h>

#include "tests/exchange/mpi_masters_run.h"

namespace apam::exchange::test {
namespace {

void expect_the_bits_of_one(const QuadraticOptions& quadratic) {
  for (const PolicyOptions& policy :
       std::vector<PolicyOptions>{{}, {.name = "scaled", .factor = 0.5}, {.name = "compensated", .factor = 0.5}}) {
    for (const Between between : {Between::wait, Between::compute_ahead}) {
      const MastersRun run({.masters = world().ranks() - 1,
                            .order = Order::free,
                            .quadratic = quadratic,
                            .schedule = {30, 10},
                            .policy = policy,
                            .between = between});
      if (!run.orders()) continue;
      EXPECT_EQ(run.model.state(), run.replayed()) << policy.name;
      EXPECT_EQ(run.recorder.states.back(), run.model.state());
      EXPECT_EQ(run.leases.granted, run.leases.ended());
    }
  }
}

TEST(MpiFreeMasters, LeaveTheBitsOfOneForOneWorker) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  expect_the_bits_of_one(kModel);
}

TEST(MpiFreeMasters, LargeMessagesLeaveTheBitsOfOneForOneWorker) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  expect_the_bits_of_one(kLargeModel);
}

// A loss that is not finite ends the run, and no master applies its gradient. All apply what is in flight.
TEST(MpiFreeMasters, ApplyTheSameGradients) {
  with_masters([](int masters) {
    for (const Between between : {Between::wait, Between::compute_ahead}) {
      for (const bool keep_going : {false, true}) {
        const MastersRun run({.masters = masters,
                              .order = Order::free,
                              .schedule = {60, 7, keep_going},
                              .between = between,
                              .optimizer = sgd(1.0 / 1024),
                              .counts = true});
        if (!run.orders()) continue;
        EXPECT_EQ(run.ending.why, keep_going ? Ending::Why::complete : Ending::Why::diverged);
        ASSERT_TRUE(run.divergence);
        EXPECT_EQ(run.divergence->what, "the loss is inf");
        expect_counted(run);
        for (std::size_t i = 0; i < run.recorder.snapshots.size(); ++i) {
          const auto& versions = run.recorder.versions[i];
          ASSERT_EQ(versions.size(), static_cast<std::size_t>(masters));
          EXPECT_EQ(versions[0], run.recorder.snapshots[i]);
          for (const std::int64_t one : versions) EXPECT_GE(one, versions[0]);
        }
      }
    }
  });
}

TEST(MpiFreeMasters, StopTogetherAtASignal) {
  with_masters([](int masters) {
    for (const int signalled : {0, masters - 1, masters}) {
      const MastersRun run({.masters = masters,
                            .order = Order::free,
                            .schedule = {1'000'000, 0, true},
                            .optimizer = sgd(1.0 / 1024),
                            .signalled = signalled,
                            .counts = true});
      if (!run.orders()) continue;
      EXPECT_EQ(run.ending.why, Ending::Why::interrupted);
      EXPECT_EQ(run.ending.signal, 15);
      EXPECT_EQ(run.ending.update, static_cast<std::int64_t>(run.recorder.records.size()));
      expect_counted(run);
    }
  });
}

TEST(MpiFreeMasters, NameTheFirstValueThatIsNotFinite) {
  with_masters([](int masters) {
    using Place = std::pair<std::size_t, std::string>;
    for (const auto& [element, tensor] : std::vector<Place>{{3, "w0"}, {130, "w2"}, {145, "bn.running_mean"}}) {
      const MastersRun run({.masters = masters, .order = Order::free, .schedule = {40}, .infinite = element});
      if (!run.orders()) continue;
      EXPECT_EQ(run.ending.why, Ending::Why::diverged);
      ASSERT_TRUE(run.divergence);
      EXPECT_EQ(run.divergence->what, tensor + " is not finite");
      if (run.workers() == 1) {
        EXPECT_EQ(run.divergence->update, 8);
      }
    }
  });
}

}  // namespace
}  // namespace apam::exchange::test
