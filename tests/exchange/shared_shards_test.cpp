// Sharded masters through shared memory: between threads, and between processes that end as they like.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/local/run_threads.h"
#include "apam/exchange/shared/followers.h"
#include "apam/exchange/shared/transports.h"
#include "apam/exchange/worker.h"
#include "tests/exchange/forked.h"
#include "tests/exchange/shards_support.h"
#include "tests/exchange/shared_support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using shared::make_followers;
using shared::make_master_transport;
using shared::run_follower;
using shared::Segment;
using shared::SegmentLayout;
using shared::SegmentMemory;
using std::chrono::milliseconds;
using support::throws;

const StalenessPolicy kNone;

std::vector<ShardRange> ranges_of(const SegmentLayout& layout) {
  return split_state(layout.history.weights, layout.history.statistics, layout.masters);
}

/// Memory, and the sequencer over it.
struct Sequencer {
  Sequencer(int workers, int masters, const Schedule& schedule) : local(workers, masters) {
    arena.initialize(0);
    history.publish_first(arena.state());
    state_schedule = schedule;
  }

  void start(const ProcessWatch* processes = nullptr) {
    followers = make_followers(local.segment, arena.layout(), processes);
    master.emplace(
        shard.updater, history,
        MasterOptions{
            .workers = local.layout.workers, .schedule = state_schedule, .range = shard.range, .followers = followers.get()});
  }

  std::vector<float> state() const { return values(history.current().state()); }

  LocalSegment local;
  Exec exec = plain_exec();
  engine::ParameterArena arena{{}, quadratic_layout(kSharedModel), engine::ParameterArena::Contents::state};
  Shard shard{exec, arena.layout(), ranges_of(local.layout)[0], amsgrad(0.01)};
  WeightHistory history{local.segment.versions(), local.layout.history};
  Schedule state_schedule;
  std::unique_ptr<ShardFollowers> followers;
  std::optional<MasterState> master;
  Recorder recorder;
  ScriptedControl control;
};

/// A follower in this thread or process.
void follow(const Segment& segment, int master, exchange::Control& control, const ProcessWatch* sequencer = nullptr) {
  Exec exec = plain_exec();
  Shard shard(exec, quadratic_layout(kSharedModel), ranges_of(segment.layout())[static_cast<std::size_t>(master)],
              amsgrad(0.01));
  const SegmentMemory memory(segment);
  ShardFollower follower(shard.updater, shard.range, kNone, memory);
  run_follower(segment, master, follower, control, sequencer);
}

TEST(SharedShards, GiveTheBitsOfTheirOrderOfArrival) {
  for (const int masters : {1, 2, 3}) {
    Sequencer rank(3, masters, {100, 30});
    if (masters > 1) {
      rank.start();
    } else {
      rank.master.emplace(rank.shard.updater, rank.history, MasterOptions{.workers = 3, .schedule = {100, 30}});
    }
    const auto transport = make_master_transport(rank.local.segment);
    std::vector<std::function<void()>> bodies{[&] { run_master(*rank.master, *transport, rank.control, rank.recorder); }};
    for (int master = 1; master < masters; ++master) {
      bodies.emplace_back([&, master] {
        NullControl none;
        follow(rank.local.segment, master, none);
      });
    }
    for (int worker = 0; worker < 3; ++worker) {
      bodies.emplace_back([&, worker] { work(rank.local.segment, worker, milliseconds(worker)); });
    }
    run_threads(bodies, [&](const std::string& reason) { rank.local.segment.close(reason); });
    expect_lawful(rank.recorder, rank.master->staleness(), 3, 100);
    EXPECT_EQ(rank.state(), replay(kSharedModel, amsgrad(0.01), 3, rank.recorder.passes())) << masters;
    EXPECT_EQ(rank.recorder.snapshots, (std::vector<std::int64_t>{30, 60, 90, 100}));
    EXPECT_EQ(transport->copied_bytes(), 0);
  }
}

/// Followers and workers as processes; this one is the sequencer.
struct ProcessRun {
  ProcessRun(int workers, int masters, const Schedule& schedule, const std::function<exchange::Control&(int)>& control_of = {})
      : rank(workers, masters, schedule), processes(masters - 1 + workers, [&, masters](int process) {
          NullControl none;
          if (process >= masters - 1) return work(rank.local.segment, process - masters + 1, milliseconds(2));
          follow(rank.local.segment, process + 1, control_of ? control_of(process + 1) : none);
        }) {}

  void train() {
    const std::span<const std::int64_t> all = processes.processes();
    const auto followers = static_cast<std::size_t>(rank.local.layout.masters - 1);
    const ProcessWatch watch_followers(all.first(followers)), watch_workers(all.subspan(followers));
    rank.start(&watch_followers);
    const auto transport = make_master_transport(rank.local.segment, &watch_workers);
    exchange::ControlOfMasters control(rank.control, *rank.followers);
    run_master(*rank.master, *transport, control, rank.recorder);
  }

  Sequencer rank;
  Forked processes;
};

TEST(SharedShards, AreProcessesThatGiveTheSameBits) {
  ProcessRun run(2, 3, {60, 20});
  run.train();
  expect_lawful(run.rank.recorder, run.rank.master->staleness(), 2, 60);
  EXPECT_EQ(run.rank.state(), replay(kSharedModel, amsgrad(0.01), 2, run.rank.recorder.passes()));
}

TEST(SharedShards, GoOnWithoutAWorkerThatIsKilled) {
  ProcessRun run(2, 2, {60});
  run.rank.recorder.then = [&](const UpdateRecord& record) {
    if (record.update == 10) run.processes.kill(2);
  };
  run.train();
  EXPECT_EQ(run.rank.master->ending().why, Ending::Why::complete);
  EXPECT_EQ(run.rank.master->version(), 60);
  auto batches = run.rank.recorder.batches();
  std::sort(batches.begin(), batches.end());
  EXPECT_EQ(std::unique(batches.begin(), batches.end()), batches.end()) << "every batch once";
}

TEST(SharedShards, EndWithAFollowerThatIsKilled) {
  ProcessRun run(1, 3, {1'000'000});
  run.rank.recorder.then = [&](const UpdateRecord& record) {
    if (record.update == 10) run.processes.kill(1);
  };
  EXPECT_TRUE(throws<ExchangeError>({"process of master 2 has ended", "entry"}, [&] { run.train(); }));
}

TEST(SharedShards, EndWithTheirSequencer) {
  const LocalSegment local(1, 2);
  const Forked sequencer(1, [](int) { std::this_thread::sleep_for(std::chrono::seconds(60)); });
  const ProcessWatch watch(sequencer.processes());
  sequencer.kill(0);
  NullControl none;
  EXPECT_TRUE(throws<ExchangeError>({"master 1 waits for entry 1", "master 0 has ended"},
                                    [&] { follow(local.segment, 1, none, &watch); }));
}

TEST(SharedShards, StopOnASignalToAFollower) {
  ScriptedControl signalled;
  signalled.signal = 15;
  ProcessRun run(1, 2, {1'000'000}, [&](int) -> exchange::Control& { return signalled; });
  run.train();
  EXPECT_EQ(run.rank.master->ending().why, Ending::Why::interrupted);
  EXPECT_EQ(run.rank.master->ending().signal, 15);
}

TEST(SharedShards, AreClosedWithTheSegment) {
  const LocalSegment local(1, 2);
  local.segment.close("worker 0: image 17");
  NullControl none;
  EXPECT_TRUE(throws<ExchangeError>({"closed", "image 17"}, [&] { follow(local.segment, 1, none); }));
  const auto model = quadratic_layout(kSharedModel);
  const auto followers = make_followers(local.segment, model);
  followers->post({.count = 1, .from = 0, .to = 1});
  EXPECT_TRUE(throws<ExchangeError>({"closed", "image 17"}, [&] { followers->finish(); }));
  EXPECT_TRUE(throws<ExchangeError>({"entry 2", "master 1", "executed 0"}, [&] { followers->post({.count = 1}); }));
}

TEST(SharedShards, HaveTheirPartOfTheSegment) {
  const LocalSegment one(2), three(2, 3);
  EXPECT_EQ(three.layout.bytes(), one.layout.bytes() + std::size_t{3} * 4096);
  const auto offset = [&](const void* at) {
    return static_cast<std::size_t>(static_cast<const std::byte*>(at) - three.memory.data());
  };
  EXPECT_GE(offset(&three.segment.shard_log()), offset(&three.segment.mailbox(1) + 1));
  EXPECT_GE(offset(&three.segment.shard_page(1)), offset(&three.segment.shard_log() + 1));
  EXPECT_GE(offset(&three.segment.shard_page(2)), offset(&three.segment.shard_page(1) + 1));
  EXPECT_GE(three.layout.versions_offset(), offset(&three.segment.shard_page(2) + 1));
  EXPECT_THROW(static_cast<void>(one.segment.shard_log()), ExchangeError);
  EXPECT_THROW(static_cast<void>(three.segment.shard_page(3)), ExchangeError);
  EXPECT_TRUE(throws<ExchangeError>({"3 masters", "1"}, [&] {
    SegmentLayout other = three.layout;
    other.masters = 1;
    const SharedMemory copy = SharedMemory::anonymous("test", other.bytes());
    std::copy_n(three.memory.data(), 4096, copy.data());
    Segment::open({copy.data(), copy.size_bytes()}, other);
  }));
}

}  // namespace
}  // namespace apam::exchange::test
