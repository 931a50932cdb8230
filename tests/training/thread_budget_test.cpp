#include "apam/training/thread_budget.h"

#include <gtest/gtest.h>

namespace apam::training {
namespace {

/// `ranks` ranks of one host with 8 CPUs, of which those from `computing` on compute gradients.
ThreadBudget budget_of(const TrainOptions& options, int ranks, int computing) {
  std::vector<exchange::RankCores> cores;
  cores.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) cores.push_back({"host", {CpuSet::parse("0-7")}, rank >= computing});
  return make_thread_budget(options, cores, 0);
}

TrainOptions asynchronous() {
  TrainOptions options;
  options.exchange = "async";
  return options;
}

TEST(ThreadBudget, WorkersDivideTheCores) {
  const ThreadBudget budget = budget_of(asynchronous(), 5, 1);
  EXPECT_EQ(budget.roles.masters, 1);
  EXPECT_EQ(budget.roles.workers, 4);
  EXPECT_EQ(budget.threads, 2);
  EXPECT_EQ(budget.master_threads, 1);
  EXPECT_EQ(describe(budget, "async"), "async, 1 master and 4 workers of 2 threads");
}

TEST(ThreadBudget, ColocatedMastersUseOneThreadMore) {
  TrainOptions options = asynchronous();
  options.colocate = true;
  options.masters = 2;
  const ThreadBudget budget = budget_of(options, 4, 0);
  EXPECT_EQ(budget.roles.workers, 4);
  EXPECT_EQ(budget.threads, 2);
  EXPECT_EQ(budget.master_threads, 1);
  EXPECT_EQ(describe(budget, "async"), "async, 2 masters in the ranks of 4 workers of 2 threads");
  options.master_threads = 3;
  EXPECT_EQ(budget_of(options, 4, 0).master_threads, 3);
}

TEST(ThreadBudget, WithoutAMasterOneGradientIsInFlight) {
  TrainOptions options;
  options.exchange = "sync";
  const ThreadBudget budget = budget_of(options, 4, 0);
  EXPECT_EQ(budget.roles.masters, 0);
  EXPECT_EQ(budget.roles.workers, 1);
  EXPECT_EQ(describe(budget, "sync"), "sync, 4 ranks of 2 threads");
  EXPECT_EQ(describe(make_thread_budget({}, std::vector<exchange::RankCores>{{"host", {CpuSet::parse("0-3")}}}, 0), "local"),
            "local, 4 threads");
}

}  // namespace
}  // namespace apam::training
