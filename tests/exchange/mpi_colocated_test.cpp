// Masters in the ranks of workers, for any number of ranks that may call MPI from several threads (--any-thread).
#include <gtest/gtest.h>

#include "apam/exchange/error.h"
#include "tests/exchange/mpi_masters_run.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

/// Every number of masters up to one per rank.
template <class Test>
void with_colocated_masters(const Test& test) {
  if (world().threads() == mpi::Threads::one) GTEST_SKIP() << "for --any-thread";
  for (int masters = 1; masters <= world().ranks(); ++masters) test(masters);
}

TEST(MpiColocated, MastersLeaveTheBitsOfOne) {
  with_colocated_masters([](int masters) {
    for (const Between between : {Between::wait, Between::compute_ahead}) {
      const MastersRun run({.masters = masters, .colocated = true, .between = between});
      if (!run.orders()) continue;
      ASSERT_EQ(run.recorder.records.size(), 60U);
      EXPECT_EQ(run.workers(), world().ranks());
      EXPECT_EQ(run.model.state(), run.replayed()) << masters;
      EXPECT_EQ(run.recorder.states.back(), run.model.state());
      EXPECT_EQ(run.leases.granted, run.leases.ended());
    }
  });
}

TEST(MpiColocated, LargeMessagesLeaveTheBitsOfOne) {
  with_colocated_masters([](int masters) {
    const MastersRun run({.masters = masters, .colocated = true, .quadratic = kLargeModel, .schedule = {24}});
    if (run.orders()) {
      EXPECT_EQ(run.model.state(), run.replayed()) << masters;
    }
  });
}

TEST(MpiColocated, MastersWithOrdersOfTheirOwnApplyEveryGradient) {
  with_colocated_masters([](int masters) {
    if (masters == 1) return;
    const MastersRun run({.masters = masters,
                          .colocated = true,
                          .order = Order::free,
                          .schedule = {60, 7, true},
                          .optimizer = sgd(1.0 / 1024),
                          .counts = true});
    if (!run.orders()) return;
    expect_counted(run);
  });
}

TEST(MpiColocated, SignalsEndTheRun) {
  with_colocated_masters([](int masters) {
    for (const Order order : {Order::sequenced, Order::free}) {
      if (masters == 1 && order == Order::free) continue;
      const MastersRun run({.masters = masters,
                            .colocated = true,
                            .order = order,
                            .schedule = {1'000'000, 0, true},
                            .optimizer = sgd(1.0 / 1024),
                            .signalled = world().ranks() - 1,
                            .counts = true});
      if (!run.orders()) continue;
      EXPECT_EQ(run.ending.why, Ending::Why::interrupted);
      EXPECT_EQ(run.ending.signal, 15);
      expect_counted(run);
    }
  });
}

TEST(MpiColocated, NeedsCallsFromAnyThread) {
  if (world().threads() == mpi::Threads::any) GTEST_SKIP() << "not for --any-thread";
  EXPECT_TRUE(throws<ExchangeError>({"several threads", "one"}, [] {
    const mpi::Peers peers(world(), {.contribution = 1, .weights = 1, .colocated = true});
  }));
}

TEST(MpiColocated, EveryMasterHasAWorker) {
  EXPECT_TRUE(throws<ExchangeError>({fmt::format("{} ranks for {} masters", world().ranks(), world().ranks() + 1)}, [] {
    const mpi::Peers peers(world(), {.contribution = 1, .weights = 1, .masters = world().ranks() + 1, .colocated = true});
  }));
}

}  // namespace
}  // namespace apam::exchange::test
