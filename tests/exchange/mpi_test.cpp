// The exchange over MPI, for 2 or more ranks. The final state of the master must have the same bits as a script with the same
// order of arrival. This shows that every worker used exactly the version of the weights that it reported.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/local/threads.h"
#include "apam/exchange/mpi/all_reduce.h"
#include "apam/exchange/mpi/clock_offset.h"
#include "apam/exchange/mpi/gather_strings.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/policies/policy.h"
#include "apam/exchange/worker.h"
#include "kernels/runtime/run_clock.h"
#include "tests/exchange/mpi_world.h"
#include "tests/exchange/support.h"
#include "tests/exchange/synchronous_cases.h"

namespace apam::exchange::test {
namespace {

using std::chrono::milliseconds;

// Contributions travel in six parts or more, of which the last one of the gradients is smaller.
mpi::MessageSizes sizes(const QuadraticOptions& quadratic) {
  const auto layout = quadratic_layout(quadratic);
  return {layout.weights_size() + layout.statistics_size(), layout.weights_size(), layout.weights_size() / 5};
}

// Runs the master on rank 0 and a worker on each other rank; worker w pauses w * `step` in each gradient.
struct MpiRun {
  MpiRun(const QuadraticOptions& options, const Schedule& schedule, milliseconds step = milliseconds(0),
         Between between = Between::wait, int signal_at = 0)
      : quadratic(options),
        ahead(between),
        model(options, amsgrad(0.01), workers()),
        master(model.updater, model.history,
               {.workers = workers(), .schedule = schedule, .ahead = between == Between::compute_ahead}) {
    if (world().rank() == 0) {
      recorder.then = [this, signal_at](const UpdateRecord& record) {
        if (record.update == signal_at) control.signal = 15;
      };
      const auto transport = mpi::make_master_transport({world(), sizes(quadratic), sends()});
      run_master(master, *transport, control, recorder);
    } else {
      quadratic.delay = step * (world().rank() - 1);
      const engine::ParameterArena second = make_second(quadratic);
      QuadraticSource source(quadratic);
      const bool waits = between == Between::wait;
      const auto transport = mpi::make_worker_transport({world(), sizes(quadratic), sends()}, source.arena().weights(),
                                                        waits ? Span<float>() : second.weights());
      pushed = Worker(source, waits ? Span<float>() : second.outgoing()).run(*transport, control);
      computed = static_cast<std::int64_t>(source.computed().size());
    }
  }

  void expect_replayed() const {
    EXPECT_EQ(model.state(), replay(quadratic, amsgrad(0.01), workers(), recorder.passes(), ahead));
  }

  QuadraticOptions quadratic;
  Between ahead;
  Model model;
  Recorder recorder;
  ScriptedControl control;
  MasterState master;
  std::int64_t pushed = 0, computed = 0;  // gradients of this rank
};

TEST(MpiAsync, OneWorkerIsLocalTrainingToTheBit) {
  if (workers() != 1) GTEST_SKIP() << "for 2 ranks";
  const MpiRun run(kModel, {25, 10});
  if (world().rank() != 0) return;
  Recorder local;
  EXPECT_EQ(run.model.state(), train_direct(kModel, amsgrad(0.01), {25, 10}, local));
  EXPECT_EQ(run.recorder.states, local.states);
  EXPECT_EQ(run.recorder.staleness(), local.staleness());

  Model threaded(kModel, amsgrad(0.01));
  Recorder recorder;
  MasterState master(threaded.updater, threaded.history, {.schedule = {25, 10}});
  QuadraticSource source(kModel);
  ScriptedControl control;
  train_on_threads(master, std::vector<GradientSource*>{&source}, control, recorder);
  EXPECT_EQ(run.model.state(), threaded.state());
}

TEST(MpiAsync, WorkersOfDifferentSpeeds) {
  const MpiRun run(kModel, {150}, milliseconds(2));
  const auto all = mpi::make_all_reduce(world())->gather(static_cast<std::uint64_t>(run.pushed));
  if (world().rank() != 0) return;
  expect_lawful(run.recorder, run.master.staleness(), workers(), 150);
  const auto& by_worker = run.master.staleness().by_worker();
  for (std::size_t worker = 0; worker < by_worker.size(); ++worker) {
    EXPECT_EQ(static_cast<std::uint64_t>(by_worker[worker]), all[worker + 1]);
  }
  run.expect_replayed();
}

TEST(MpiAsync, FewerUpdatesThanWorkers) {
  const MpiRun run(kModel, {1});
  EXPECT_EQ(run.pushed, world().rank() == 1 ? 1 : 0);
  if (world().rank() == 0) expect_lawful(run.recorder, run.master.staleness(), workers(), 1);
}

// Messages of 1.2 MiB use rendezvous, and several are in flight while the weights change.
TEST(MpiAsync, LargeMessages) {
  const MpiRun run({.sizes = {1 << 18, 3, 1 << 16}, .channels = 5, .spread = 1.0F}, {24});
  if (world().rank() != 0) return;
  expect_lawful(run.recorder, run.master.staleness(), workers(), 24);
  run.expect_replayed();
}

TEST(MpiAsync, WorkersThatComputeAhead) {
  const MpiRun run(kModel, {60}, milliseconds(1), Between::compute_ahead);
  EXPECT_EQ(run.pushed, run.computed) << "the last leases are not computed ahead of a stop";
  if (world().rank() != 0) return;
  expect_lawful(run.recorder, run.master.staleness(), workers(), 60, Between::compute_ahead);
  EXPECT_GT(run.master.staleness().max_publish_lag(), 0);
  run.expect_replayed();
}

TEST(MpiAsync, LargeMessagesOfWorkersThatComputeAhead) {
  const MpiRun run({.sizes = {1 << 18, 3, 1 << 16}, .channels = 5, .spread = 1.0F}, {24}, {}, Between::compute_ahead);
  if (world().rank() != 0) return;
  expect_lawful(run.recorder, run.master.staleness(), workers(), 24, Between::compute_ahead);
  run.expect_replayed();
}

// The stop answers a gradient while the next one is computed.
TEST(MpiAsync, AStopDropsWhatWasComputedAhead) {
  const MpiRun run({.sizes = {1 << 18}}, {100'000}, {}, Between::compute_ahead, 8);
  if (world().rank() != 0) {
    EXPECT_EQ(run.computed, run.pushed + 1);
    return;
  }
  EXPECT_EQ(run.master.ending().why, Ending::Why::interrupted);
  EXPECT_LT(run.master.version(), 100'000);
  const LeaseCounts& counts = run.master.leases();
  EXPECT_EQ(counts.applied, run.master.version());
  EXPECT_EQ(counts.abandoned, 3 * workers()) << "pushed, computed and dealt ahead";
  EXPECT_EQ(counts.granted, counts.ended());
}

// Stale computations are cancelled: such a worker sends a header only, and its batch is dealt again.
void expect_cancelled(Between between, std::int64_t bound) {
  const auto policy = make_policy({.name = "ringmaster", .bound = bound});
  const bool ahead = between == Between::compute_ahead;
  QuadraticOptions quadratic = kModel;
  if (world().rank() == 0) {
    Model model(quadratic, amsgrad(0.01), workers());
    Recorder recorder;
    ScriptedControl control;
    MasterState master(model.updater, model.history,
                       {.workers = workers(), .schedule = {60}, .policy = policy.get(), .ahead = ahead});
    run_master(master, *mpi::make_master_transport({world(), sizes(quadratic), sends()}), control, recorder);
    const LeaseCounts& counts = master.leases();
    EXPECT_EQ(counts.applied, 60);
    EXPECT_GT(counts.cancelled, 0) << "worker 1 is slow";
    EXPECT_EQ(counts.granted, counts.ended());
    EXPECT_LT(master.staleness().max(), bound);
  } else {
    quadratic.delay = milliseconds(world().rank() == 2 ? 100 : 1);
    const engine::ParameterArena second = make_second(quadratic);
    QuadraticSource source(quadratic);
    ScriptedControl control;
    const auto transport = mpi::make_worker_transport({world(), sizes(quadratic), sends()}, source.arena().weights(),
                                                      ahead ? second.weights() : Span<float>());
    Worker(source, ahead ? second.outgoing() : Span<float>()).run(*transport, control);
  }
}

TEST(MpiAsync, CancelledComputationsAreDealtAgain) {
  if (workers() < 2) GTEST_SKIP() << "for 3 ranks or more";
  expect_cancelled(Between::wait, 2);
  expect_cancelled(Between::compute_ahead, 2 * workers());
}

TEST(MpiAsync, RunsFollowOneAnother) {
  for (int i = 0; i < 5; ++i) {
    const MpiRun run(kModel, {10});
    if (world().rank() == 0) run.expect_replayed();
  }
}

TEST(MpiStrings, ReachTheFirstRankAndComeBack) {
  const auto rank = static_cast<std::size_t>(world().rank());
  const auto texts = mpi::gather_strings(world(), std::string(rank, 'x'));
  ASSERT_EQ(texts.size(), rank == 0 ? static_cast<std::size_t>(world().ranks()) : 0U);
  for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r, 'x'));
  EXPECT_EQ(mpi::broadcast_string(world(), rank == 0 ? "the end" : ""), "the end");
}

TEST(MpiStrings, DoNotWaitForRanksThatHaveGone) {
  const int last = world().ranks() - 1;
  if (world().rank() == last) return;
  const std::vector<int> gone{last};
  const auto texts = mpi::gather_strings(world(), "here", gone);
  if (world().rank() == 0) {
    EXPECT_EQ(texts.back(), "");
    EXPECT_EQ(std::count(texts.begin(), texts.end(), "here"), last);
  }
  EXPECT_EQ(mpi::broadcast_string(world(), "bye", gone), "bye");
}

// The ranks share a clock. Named as if on hosts of their own, they measure its difference: 0, to within the error.
TEST(MpiClock, TheOffsetIsWithinItsError) {
  std::vector<std::string> hosts;
  hosts.reserve(static_cast<std::size_t>(world().ranks()));
  for (int rank = 0; rank < world().ranks(); ++rank) hosts.push_back(fmt::format("host {}", rank));
  const auto measured = mpi::measure_clock_offset(world(), hosts);
  EXPECT_LE(std::abs(measured.offset), measured.error);
  EXPECT_EQ(measured.error > 0, world().rank() != 0);
  const auto same = mpi::measure_clock_offset(world(), std::vector<std::string>(hosts.size(), "one"));
  EXPECT_EQ(same.offset, 0);
  EXPECT_EQ(same.error, 0);
}

TEST(MpiAsync, DifferentSizesAreAnError) {
  mpi::MessageSizes mine = sizes(kModel);
  if (world().rank() == 1) mine.contribution += 16;
  const auto make = [&] {
    if (world().rank() == 0) {
      mpi::make_master_transport({world(), mine});
    } else {
      std::vector<float> weights(mine.weights);
      mpi::make_worker_transport({world(), mine}, std::span<float>(weights));
    }
  };
  try {
    make();
    FAIL() << "nothing was thrown";
  } catch (const ExchangeError& error) {
    EXPECT_STREQ(
        error.what(),
        "mpi: rank 1 exchanges 192 and 144 floats (contribution, weights) in parts of 28, rank 0 exchanges 176 and 144 "
        "in parts of 28, with 1 and 1 masters, separate and separate workers, sequenced and sequenced as order, float32 and "
        "float32 as type");
  }
}

TEST(MpiAsync, SpansOfTheWrongSizeAreRefused) {
  std::vector<float> small(3);
  QuadraticOptions other = kModel;
  other.sizes = {3};
  Model model(other, sgd(0.1));
  if (world().rank() == 0) {
    const auto transport = mpi::make_master_transport({world(), sizes(kModel), sends()});
    EXPECT_THROW(transport->send(0, {}, model.history.current()), ExchangeError);
    EXPECT_THROW(transport->send(0, {}, {}), ExchangeError) << "no weights to proceed";
  } else {
    QuadraticSource source(kModel);
    const auto transport = mpi::make_worker_transport({world(), sizes(kModel), sends()}, source.arena().weights());
    EXPECT_THROW(transport->push({}, std::span<const float>(small)), ExchangeError);
  }
}

constexpr auto kWait = milliseconds(1200);

// Most processor time of a wait of kWait: anything in the first 100 ms, then 5 % of a core. On a machine whose sleeps cost
// more, four times what as many sleeps of a millisecond cost that poll nothing.
double most_of_a_wait() {
  constexpr auto kSample = milliseconds(120);
  const double before = processor_seconds();
  const auto end = std::chrono::steady_clock::now() + kSample;
  while (std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(1));
  const double sleeps = (processor_seconds() - before) * (kWait / kSample);
  return 0.1 + std::max(0.05 * 1.1, 4 * sleeps);
}

// The master waits for a worker that sleeps; then the workers wait for a master that sleeps.
TEST(MpiAsync, WaitingRanksUseAlmostNoProcessorTime) {
  QuadraticOptions quadratic = kModel;
  Model model(quadratic, amsgrad(0.01));
  Recorder recorder;
  recorder.then = [&](const UpdateRecord&) { std::this_thread::sleep_for(kWait); };
  ScriptedControl control;
  const double most = most_of_a_wait();
  if (world().rank() == 0) {
    MasterState master(model.updater, model.history, {.workers = workers(), .schedule = {1}});
    const auto transport = mpi::make_master_transport({world(), sizes(quadratic), sends()});
    const double before = processor_seconds();
    run_master(master, *transport, control, recorder);
    EXPECT_LT(processor_seconds() - before, most);
  } else {
    quadratic.delay = kWait;
    QuadraticSource source(quadratic);
    const auto transport = mpi::make_worker_transport({world(), sizes(quadratic), sends()}, source.arena().weights());
    const double before = processor_seconds();
    Worker(source).run(*transport, control);
    EXPECT_LT(processor_seconds() - before, most);
  }
}

TEST(MpiSync, WaitingRanksUseAlmostNoProcessorTime) {
  const double most = most_of_a_wait();
  const auto all_reduce = mpi::make_all_reduce(world());
  std::vector<float> values(1000, 1.0F);
  all_reduce->start(std::span<float>(values));
  if (world().rank() == 0) std::this_thread::sleep_for(kWait);
  const double before = processor_seconds();
  all_reduce->finish();
  EXPECT_LT(processor_seconds() - before, most);
  EXPECT_EQ(values, std::vector<float>(1000, static_cast<float>(world().ranks())));
}

TEST(MpiSync, RanksTogetherAreLocalTraining) {
  const QuadraticOptions quadratic{.sizes = {33, 5, 70, 16}, .rows = 7, .spread = 1.5F};
  const auto all_reduce = mpi::make_all_reduce(world());
  const RankResult result = train_rank(*all_reduce, quadratic, sgd(0.25), {20, 8}, 64);
  expect_like_local(result, quadratic, 0.25, {20, 8}, world().ranks());
}

// Many buckets of 1 MiB at once, then statistics. The trainer compares the replicas.
TEST(MpiSync, LargeModels) {
  const QuadraticOptions quadratic{
      .sizes = {1 << 18, 1 << 17, 1 << 17, 100, 1 << 18}, .channels = 9, .rows = 3, .spread = 1.0F};
  const auto all_reduce = mpi::make_all_reduce(world());
  const RankResult result = train_rank(*all_reduce, quadratic, sgd(0.25), {3, 1}, std::size_t{1} << 18U);
  expect_like_local(result, quadratic, 0.25, {3, 1}, world().ranks());
}

TEST(MpiSync, ABrokenReplicaIsFoundByAll) {
  const QuadraticOptions quadratic{.sizes = {33, 5}, .rows = 7, .spread = 1.5F};
  const auto all_reduce = mpi::make_all_reduce(world());
  EXPECT_THROW(train_rank(*all_reduce, quadratic, sgd(0.25), {20, 5}, 64, world().rank() == 1 ? 0.5F : 0.0F), ExchangeError);
}

TEST(MpiSync, GathersAndSums) {
  const auto all_reduce = mpi::make_all_reduce(world());
  const auto rank = static_cast<std::uint64_t>(world().rank());
  const auto gathered = all_reduce->gather(rank + 40);
  ASSERT_EQ(gathered.size(), static_cast<std::size_t>(world().ranks()));
  for (std::size_t i = 0; i < gathered.size(); ++i) EXPECT_EQ(gathered[i], i + 40);
  std::vector<double> sums{1.0, static_cast<double>(rank)};
  all_reduce->sum(sums);
  const double n = world().ranks();
  EXPECT_EQ(sums, (std::vector<double>{n, n * (n - 1) / 2}));
}

}  // namespace
}  // namespace apam::exchange::test
