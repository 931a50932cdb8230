// The exchange through shared memory between processes that end as they like, and its set-up by the ranks of a host.
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/shared/ranks.h"
#include "apam/exchange/shared/transports.h"
#include "apam/exchange/worker.h"
#include "tests/exchange/forked.h"
#include "tests/exchange/shared_support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using shared::make_master_transport;
using shared::make_worker_transport;
using shared::NotShared;
using shared::SegmentLayout;
using shared::share_memory;
using shared::SharedRank;
using std::chrono::milliseconds;
using support::throws;

TEST(SharedProcesses, GiveTheBitsOfTheirOrderOfArrival) {
  const LocalSegment local(3);
  const Forked workers(3, [&](int worker) { work(local.segment, worker, milliseconds(worker)); });
  SharedMaster rank(local.segment, {100, 30});
  const ProcessWatch watch(workers.processes());
  const auto transport = make_master_transport(local.segment, &watch);
  run_master(*rank.master, *transport, rank.control, rank.recorder);
  expect_lawful(rank.recorder, rank.master->staleness(), 3, 100);
  EXPECT_EQ(rank.state(), replay(kSharedModel, amsgrad(0.01), 3, rank.recorder.passes()));
  EXPECT_EQ(transport->copied_bytes(), 0);
}

TEST(SharedProcesses, TheMasterGoesOnWithoutAWorkerThatIsKilled) {
  const LocalSegment local(3);
  const Forked workers(3, [&](int worker) { work(local.segment, worker, milliseconds(worker == 1 ? 20 : 2)); });
  SharedMaster rank(local.segment, {150});
  rank.recorder.then = [&](const UpdateRecord& record) {
    if (record.update == 20) workers.kill(1);  // in the middle of a step
  };
  const ProcessWatch watch(workers.processes());
  const auto transport = make_master_transport(local.segment, &watch);
  run_master(*rank.master, *transport, rank.control, rank.recorder);
  EXPECT_EQ(rank.master->ending().why, Ending::Why::complete);
  EXPECT_EQ(rank.master->version(), 150);
  auto batches = rank.recorder.batches();
  std::sort(batches.begin(), batches.end());
  for (std::int64_t batch = 0; batch < 150; ++batch)
    EXPECT_EQ(batches[static_cast<std::size_t>(batch)], batch) << "every batch once";
  EXPECT_LT(rank.master->staleness().by_worker()[1], 25);
}

TEST(SharedProcesses, AMasterWithoutWorkersEnds) {
  const LocalSegment local(2);
  const Forked workers(2, [&](int worker) { work(local.segment, worker, milliseconds(1)); });
  SharedMaster rank(local.segment, {100000});
  rank.recorder.then = [&](const UpdateRecord& record) {
    if (record.update != 10) return;
    workers.kill(0);
    workers.kill(1);
  };
  const ProcessWatch watch(workers.processes());
  const auto transport = make_master_transport(local.segment, &watch);
  run_master(*rank.master, *transport, rank.control, rank.recorder);
  EXPECT_EQ(rank.master->ending().why, Ending::Why::deserted);
}

TEST(SharedProcesses, AWorkerWhoseMasterHasEndedThrows) {
  const LocalSegment local(1);
  const Forked masters(1, [&](int) { std::this_thread::sleep_for(std::chrono::seconds(60)); });
  const ProcessWatch watch(masters.processes());
  const auto worker = make_worker_transport(local.segment, 0, &watch);
  masters.kill(0);
  EXPECT_TRUE(throws<ExchangeError>({"worker 0", "reply 1", "master", "ended"}, [&] { worker->pull(); }));
}

/// An all-gather between threads.
class Gather {
 public:
  explicit Gather(int ranks) : ranks_(ranks), texts_(static_cast<std::size_t>(ranks)) {}

  std::vector<std::string> operator()(int rank, std::string_view text) {
    std::unique_lock lock(mutex_);
    texts_[static_cast<std::size_t>(rank)] = text;
    const int round = round_;
    if (++arrived_ == ranks_) {
      arrived_ = 0;
      ++round_;
      result_ = texts_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return round_ != round; });
    return result_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int ranks_, arrived_ = 0, round_ = 0;
  std::vector<std::string> texts_, result_;
};

/// share_memory() on `ranks` threads; `change`: of what a rank gathers. Returns the errors, by rank.
std::vector<std::string> share_on_threads(int ranks, const SegmentLayout& layout,
                                          const std::function<std::string(int, int, std::string_view)>& change,
                                          const std::function<void(int, SharedRank&)>& use = {}) {
  Gather gather(ranks);
  std::vector<std::string> errors(static_cast<std::size_t>(ranks));
  {
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<std::size_t>(ranks));
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        int round = 0;
        const auto changed = [&](std::string_view text) { return gather(rank, change(rank, round++, text)); };
        try {
          SharedRank shared = share_memory(rank, layout, false, changed);
          if (use) use(rank, shared);
        } catch (const NotShared& error) {
          errors[static_cast<std::size_t>(rank)] = error.what();
        }
      });
    }
  }
  return errors;
}

std::string unchanged(int, int, std::string_view text) { return std::string(text); }

TEST(SharedRanks, MapTheSameMemory) {
  const auto errors = share_on_threads(3, layout_for(2), unchanged, [](int rank, SharedRank& shared) {
    if (rank > 0) shared.segment.contribution(rank - 1).host()[0] = static_cast<float>(rank);
    futex::signal(shared.segment.control().arrivals);
    while (shared.segment.control().arrivals.load(std::memory_order_acquire) < 3) std::this_thread::yield();
    EXPECT_EQ(shared.segment.contribution(1).host()[0], 2.0F);
    EXPECT_TRUE(shared.memory.address().empty()) << "withdrawn";
    EXPECT_TRUE(shared.others.ended().empty());
  });
  EXPECT_EQ(errors, std::vector<std::string>(3));
}

TEST(SharedRanks, AllReportTheFirstFailure) {
  const auto other_host = [](int rank, int round, std::string_view text) {
    return std::string(rank == 2 && round == 0 ? "elsewhere" : text);
  };
  for (const auto& error : share_on_threads(3, layout_for(2), other_host)) {
    EXPECT_TRUE(support::has_words(error, {"rank 2", "elsewhere", "rank 0"}));
  }
  const auto wrong_address = [](int rank, int round, std::string_view text) {
    return std::string(rank == 0 && round == 1 ? "+999999999:3:1:4096" : text);
  };
  for (const auto& error : share_on_threads(3, layout_for(2), wrong_address)) {
    EXPECT_TRUE(support::has_words(error, {"rank 1", "apam exchange", "999999999"}));
  }
  const SegmentLayout huge{2, {.weights = std::size_t{1} << 40U, .slots = 4}};
  for (const auto& error : share_on_threads(3, huge, unchanged)) EXPECT_TRUE(support::has_words(error, {"rank 0", "MiB"}));
}

}  // namespace
}  // namespace apam::exchange::test
