// The exchange through shared memory between threads: parts of a segment, both ends of the transport, whole runs.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <thread>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/local/run_threads.h"
#include "apam/exchange/shared/transports.h"
#include "apam/exchange/worker.h"
#include "kernels/runtime/run_clock.h"
#include "tests/exchange/shared_support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using shared::make_master_transport;
using shared::make_worker_transport;
using shared::Segment;
using shared::SegmentLayout;
using std::chrono::milliseconds;
using support::throws;

struct SharedRun {
  SharedRun(const std::vector<milliseconds>& delays, const Schedule& schedule)
      : local(static_cast<int>(delays.size())), rank(local.segment, schedule), sources(make_sources(kSharedModel, delays)) {}

  void train() {
    const auto transport = make_master_transport(local.segment);
    std::vector<std::function<void()>> bodies{[&] { run_master(*rank.master, *transport, rank.control, rank.recorder); }};
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const int worker = static_cast<int>(i);
      sources[i]->use_outgoing(local.segment.contribution(worker));
      bodies.emplace_back([this, i, worker] {
        NullControl none;
        Worker(*sources[i]).run(*make_worker_transport(local.segment, worker), none);
      });
    }
    run_threads(bodies, [&](const std::string& reason) { local.segment.close(reason); });
    copied_bytes = transport->copied_bytes();
  }

  LocalSegment local;
  SharedMaster rank;
  std::vector<std::unique_ptr<QuadraticSource>> sources;
  std::int64_t copied_bytes = -1;
};

TEST(SharedSegment, HasTheSizeOfTheFormula) {
  constexpr std::size_t kPage = 4096;
  const auto rounded = [](std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; };
  for (const int workers : {1, 2, 12, 40}) {
    const HistoryLayout history{
        .weights = 11'173'968, .statistics = 9600, .window = 1, .slots = HistoryLayout::slots_for(workers, 1)};
    const std::size_t state = (11'173'968 + 9600) * sizeof(float);
    const auto n = static_cast<std::size_t>(workers);
    EXPECT_EQ((SegmentLayout{workers, history}.bytes()),
              kPage + rounded(n * 256) + rounded((n + 3) * state) + n * rounded(state));
  }
}

TEST(SharedSegment, PartsDoNotOverlap) {
  const LocalSegment local(3);
  const auto* const begin = reinterpret_cast<const float*>(local.memory.data());
  const auto offset = [&](const float* at) { return static_cast<std::size_t>(at - begin) * sizeof(float); };
  const Span<float> versions = local.segment.versions();
  EXPECT_GE(offset(versions.data()), reinterpret_cast<std::byte*>(&local.segment.mailbox(2) + 1) - local.memory.data());
  EXPECT_EQ(offset(versions.data()) % 4096, 0U) << "read-only by pages";
  EXPECT_EQ(local.layout.versions_bytes() % 4096, 0U);
  std::size_t end = offset(versions.data() + versions.size());
  for (int worker = 0; worker < 3; ++worker) {
    const Span<float> contribution = local.segment.contribution(worker);
    EXPECT_GE(offset(contribution.data()), std::max(end, local.layout.versions_offset() + local.layout.versions_bytes()));
    end = offset(contribution.data() + contribution.size());
  }
  EXPECT_LE(end, local.memory.size_bytes());
  EXPECT_EQ(local.segment.weights(1).data(), versions.data() + local.layout.history.state());
  EXPECT_THROW(static_cast<void>(local.segment.mailbox(3)), ExchangeError);
  EXPECT_THROW(static_cast<void>(local.segment.weights(5)), ExchangeError);
}

TEST(SharedSegment, RefusesOtherLayouts) {
  const LocalSegment local(3);
  SegmentLayout other = local.layout;
  other.history.weights += 16;
  other.history.statistics -= 16;
  EXPECT_TRUE(throws<ExchangeError>({"3 workers"}, [&] {
    Segment::open({local.memory.data(), local.memory.size_bytes()}, other);
  }));
  EXPECT_THROW(Segment::open({local.memory.data(), 4096}, local.layout), InputError);
  const SharedMemory zeros = SharedMemory::anonymous("test", local.layout.bytes());
  EXPECT_TRUE(throws<ExchangeError>({"mark"}, [&] { Segment::open({zeros.data(), zeros.size_bytes()}, local.layout); }));
  other.history.weights = 17;
  EXPECT_TRUE(throws<InputError>({"17", "16"}, [&] { static_cast<void>(other.bytes()); }));
  EXPECT_THROW(static_cast<void>(SegmentLayout{0, local.layout.history}.bytes()), InputError);
  EXPECT_THROW(static_cast<void>(SegmentLayout{1 << 30, {.weights = std::size_t{1} << 40U}}.bytes()), DeviceError);
}

TEST(SharedThreads, OneWorkerIsLocalTrainingToTheBit) {
  SharedRun run({milliseconds(0)}, {25, 10});
  run.train();
  Recorder local;
  EXPECT_EQ(run.rank.state(), train_direct(kSharedModel, amsgrad(0.01), {25, 10}, local));
  EXPECT_EQ(run.rank.recorder.states, local.states);
  EXPECT_EQ(run.copied_bytes, 0);
}

TEST(SharedThreads, GiveTheBitsOfTheirOrderOfArrival) {
  SharedRun run({milliseconds(0), milliseconds(1), milliseconds(5)}, {200});
  run.train();
  expect_lawful(run.rank.recorder, run.rank.master->staleness(), 3, 200);
  EXPECT_EQ(run.rank.state(), replay(kSharedModel, amsgrad(0.01), 3, run.rank.recorder.passes()));
  EXPECT_EQ(run.copied_bytes, 0);
}

TEST(SharedThreads, CountWhatIsCopied) {
  SharedRun run({milliseconds(0)}, {7});
  LocalSegment elsewhere(1);
  const auto transport = make_master_transport(run.local.segment);
  const std::vector<std::function<void()>> bodies{
      [&] { run_master(*run.rank.master, *transport, run.rank.control, run.rank.recorder); },
      [&] {
        NullControl none;
        Worker(*run.sources[0]).run(*make_worker_transport(run.local.segment, 0), none);
      }};
  run_threads(bodies, [&](const std::string& reason) { run.local.segment.close(reason); });
  EXPECT_EQ(transport->copied_bytes(), 7 * static_cast<std::int64_t>(run.rank.arena.state().size_bytes()));
  EXPECT_EQ(run.rank.state(), replay(kSharedModel, amsgrad(0.01), 1, run.rank.recorder.passes()));
}

TEST(SharedThreads, AFailureOfOneEndsAll) {
  SharedRun run(std::vector<milliseconds>(3), {1000});
  run.rank.recorder.then = [](const UpdateRecord& record) {
    if (record.update == 10) throw InputError("the disk is full");
  };
  EXPECT_TRUE(throws<InputError>({"the disk is full"}, [&] { run.train(); }));
  EXPECT_TRUE(throws<ExchangeError>({"closed", "the disk is full"}, [&] { run.local.segment.require_open(); }));
}

TEST(SharedThreads, ASignalStopsAll) {
  SharedRun run(std::vector<milliseconds>(3), {100000});
  run.rank.recorder.then = [&](const UpdateRecord& record) {
    if (record.update == 20) run.rank.control.signal = 2;
  };
  run.train();
  EXPECT_TRUE(run.rank.master->done());
  EXPECT_EQ(run.rank.master->ending().why, Ending::Why::interrupted);
}

/// The master's side, driven step by step.
struct Steps {
  explicit Steps(int workers, const Schedule& schedule = {100})
      : local(workers), rank(local.segment, schedule), transport(make_master_transport(local.segment)) {}
  void welcome() {
    for (int worker = 0; worker < transport->workers(); ++worker) transport->send(worker, {}, rank.history.current());
  }

  LocalSegment local;
  SharedMaster rank;
  std::unique_ptr<MasterTransport> transport;
};

TEST(SharedTransport, DeliversVersionsInPlace) {
  Steps steps(2);
  const auto worker = make_worker_transport(steps.local.segment, 1);
  steps.welcome();
  const Delivery delivery = worker->pull();
  EXPECT_EQ(delivery.weights.data(), steps.rank.history.current().weights().data());
  EXPECT_EQ(delivery.weights.size(), steps.rank.arena.weights().size());
}

TEST(SharedTransport, ReturnsGradientsInOrderOfArrival) {
  Steps steps(3);
  steps.welcome();
  std::vector<std::unique_ptr<WorkerTransport>> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(make_worker_transport(steps.local.segment, i));
    workers.back()->pull();
  }
  EXPECT_TRUE(steps.transport->poll(milliseconds(1)).empty());
  steps.local.segment.control().tickets = 0xffffffffU;  // wraps around after the first
  for (const int i : {2, 0, 1}) {
    workers[static_cast<std::size_t>(i)]->push({.batch = i}, steps.local.segment.contribution(i));
  }
  std::vector<int> order;
  for (const GradientMessage& message : steps.transport->poll(milliseconds(1))) {
    order.push_back(message.worker);
    EXPECT_EQ(message.header.batch, message.worker);
    EXPECT_EQ(message.values.data(), steps.local.segment.contribution(message.worker).data());
  }
  EXPECT_EQ(order, (std::vector<int>{2, 0, 1}));
  EXPECT_TRUE(steps.transport->poll(milliseconds(1)).empty());
}

TEST(SharedTransport, ACancelledComputationHasNoValues) {
  Steps steps(1);
  const auto worker = make_worker_transport(steps.local.segment, 0);
  steps.welcome();
  worker->pull();
  EXPECT_FALSE(worker->cancelled(0));
  steps.transport->cancel(0, 0);
  EXPECT_TRUE(worker->cancelled(0));
  EXPECT_FALSE(worker->cancelled(1));
  EXPECT_TRUE(throws<ExchangeError>(
      {"worker 0", "1 floats"}, [&] { worker->push({.cancelled = 1}, steps.local.segment.contribution(0).subspan(0, 1)); }));
  worker->push({.batch = 4, .cancelled = 1}, {});
  const auto messages = steps.transport->poll(milliseconds(1));
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].header.batch, 4);
  EXPECT_TRUE(messages[0].values.empty());
}

TEST(SharedTransport, AVersionStaysWhileAWorkerReadsIt) {
  Steps steps(1);
  const auto worker = make_worker_transport(steps.local.segment, 0);
  steps.welcome();
  const Delivery first = worker->pull();
  const auto expected = values(first.weights);
  for (int i = 0; i < 10; ++i) {
    WritableVersion next = steps.rank.history.begin_next();
    for (float& value : next.state().host()) value = -1.0F;
    steps.rank.history.publish(std::move(next));
    EXPECT_EQ(values(first.weights), expected) << i;
  }
}

// Each of four workers reads another version when all push at once, and a snapshot after every update makes four passes.
TEST(SharedTransport, SlotsSufficeIfEveryGradientIsAPass) {
  constexpr int kWorkers = 4;
  Steps steps(kWorkers, {100, 1});
  MasterState& master = *steps.rank.master;
  const auto on = [&](const std::vector<Event>& events) {
    carry_out(master.on(events, 0), *steps.transport, steps.rank.recorder);
  };
  std::vector<std::unique_ptr<WorkerTransport>> workers;
  std::vector<std::int64_t> versions(kWorkers);
  std::vector<std::deque<std::int64_t>> leases(kWorkers);
  const auto pull = [&](std::size_t i) {
    const Reply reply = workers[i]->pull().reply;
    versions[i] = reply.version;
    leases[i].insert(leases[i].end(), reply.leases.begin(), reply.leases.begin() + reply.lease_count);
  };
  const auto push = [&](std::size_t i) {
    workers[i]->push({.computed_at = versions[i], .batch = leases[i].front(), .rows = 1},
                     steps.local.segment.contribution(static_cast<int>(i)));
    leases[i].pop_front();
  };
  const auto take_all = [&] {
    std::vector<Event> events;
    for (const GradientMessage& message : steps.transport->poll(milliseconds(0))) events.emplace_back(GradientReady{message});
    on(events);
  };
  for (int i = 0; i < kWorkers; ++i) {
    workers.push_back(make_worker_transport(steps.local.segment, i));
    on({Joined{i}});
    pull(static_cast<std::size_t>(i));
  }
  for (std::size_t i = 0; i < kWorkers; ++i) {
    push(i);
    take_all();
    pull(i);
  }
  EXPECT_EQ(versions, (std::vector<std::int64_t>{1, 2, 3, 4}));
  for (std::size_t i = 0; i < kWorkers; ++i) push(i);
  take_all();
  EXPECT_EQ(master.version(), 2 * kWorkers);
}

TEST(SharedTransport, RefusesImpossibleSequences) {
  {
    Steps steps(2);
    steps.welcome();
    const Reply reply;
    EXPECT_TRUE(throws<ExchangeError>({"reply 2", "worker 1", "0 gradients"},
                                      [&] { steps.transport->send(1, reply, steps.rank.history.current()); }));
    steps.local.segment.mailbox(0).pushed = 2;
    EXPECT_TRUE(throws<ExchangeError>({"worker 0", "2 gradients"}, [&] { steps.transport->poll(milliseconds(1)); }));
  }
  {
    Steps steps(1);
    steps.local.segment.mailbox(0).pushed = 1;  // before it has weights
    EXPECT_TRUE(
        throws<ExchangeError>({"worker 0", "1 gradients", "0 replies"}, [&] { steps.transport->poll(milliseconds(1)); }));
  }
  Steps steps(1);
  const auto worker = make_worker_transport(steps.local.segment, 0);
  EXPECT_TRUE(
      throws<ExchangeError>({"worker 0", "gradient 1"}, [&] { worker->push({}, steps.local.segment.contribution(0)); }));
  steps.welcome();
  steps.local.segment.mailbox(0).version_slot = 99;
  EXPECT_TRUE(throws<ExchangeError>({"slot 99"}, [&] { worker->pull(); }));
  steps.local.segment.mailbox(0).replied = 5;
  EXPECT_TRUE(throws<ExchangeError>({"worker 0", "1 replies of 5"}, [&] { worker->pull(); }));
}

TEST(SharedTransport, WaitingSleeps) {
  Steps steps(2);
  const auto worker = make_worker_transport(steps.local.segment, 0);
  const double before = processor_seconds();
  std::jthread waiting([&] { worker->pull(); });
  EXPECT_TRUE(steps.transport->poll(milliseconds(500)).empty());
  EXPECT_LT(processor_seconds() - before, 0.05 * 0.5) << "5 % of a core, for both sides together";
  steps.welcome();
}

}  // namespace
}  // namespace apam::exchange::test
