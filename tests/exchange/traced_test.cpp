// The decorators record what happened, in order, and change nothing.
#include "apam/exchange/drivers/traced.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <set>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/local/all_reduce.h"
#include "apam/exchange/local/direct.h"
#include "apam/exchange/local/run_threads.h"
#include "apam/exchange/local/threads.h"
#include "apam/exchange/synchronous.h"
#include "apam/exchange/worker.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kRoom = 4096;

std::vector<TraceEvent> of_kind(const TraceTrack& track, TraceKind kind) {
  std::vector<TraceEvent> found;
  for (const TraceEvent& event : track.events()) {
    if (event.kind == kind) found.push_back(event);
  }
  return found;
}

void expect_apart(const TraceTrack& track) {
  std::vector<TraceEvent> events(track.events().begin(), track.events().end());
  std::stable_sort(events.begin(), events.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_GT(events[i].begin, 0);
    EXPECT_LE(events[i].begin, events[i].end);
    if (i > 0) {
      EXPECT_LE(events[i - 1].end, events[i].begin) << info(events[i - 1].kind).name << ", " << info(events[i].kind).name;
    }
  }
}

// Asynchronous training by threads, all of them traced.
struct TracedRun {
  TracedRun(int workers, const Schedule& schedule)
      : sources(make_sources(kModel, std::vector(static_cast<std::size_t>(workers), milliseconds(1)))),
        model(kModel, amsgrad(0.01), workers),
        master(model.updater, model.history, {.workers = workers, .schedule = schedule}) {
    ThreadsExchange exchange(workers);
    std::vector<std::function<void()>> bodies{[&] {
      TracedMaster traced(exchange.master(), recorder, track);
      run_master(master, traced, control, traced);
    }};
    for (int i = 0; i < workers; ++i) {
      TraceTrack& mine = tracks.emplace_back("worker", kRoom);
      bodies.emplace_back([&, i] {
        TracedWorker traced(exchange.worker(i), mine);
        NullControl none;
        Worker(*sources[static_cast<std::size_t>(i)]).run(traced, none);
      });
    }
    run_threads(bodies, [&](const std::string& reason) { exchange.close(reason); });
  }

  std::vector<std::unique_ptr<QuadraticSource>> sources;
  Model model;
  Recorder recorder;
  ScriptedControl control;
  TraceTrack track{"master", kRoom};
  std::list<TraceTrack> tracks;
  MasterState master;
};

TEST(Traced, TheMasterRecordsEveryGradientPassReplyAndSnapshot) {
  const TracedRun run(3, {20, 5});
  expect_apart(run.track);
  std::vector<std::int64_t> batches;
  for (const TraceEvent& mark : of_kind(run.track, TraceKind::gradient)) batches.push_back(mark.number);
  EXPECT_EQ(batches, run.recorder.batches());  // in order of arrival
  std::int64_t version = 0;
  for (const TraceEvent& pass : of_kind(run.track, TraceKind::pass)) {
    version += pass.number;
    EXPECT_EQ(pass.version, version);
  }
  EXPECT_EQ(version, 20);
  const auto replies = of_kind(run.track, TraceKind::reply);
  EXPECT_EQ(replies.size(), 3U + 20U);  // the first weights, then one per gradient
  EXPECT_EQ(std::count_if(replies.begin(), replies.end(), [](const TraceEvent& reply) { return reply.number == 1; }), 3);
  std::vector<std::int64_t> snapshots;
  for (const TraceEvent& snapshot : of_kind(run.track, TraceKind::snapshot)) snapshots.push_back(snapshot.version);
  EXPECT_EQ(snapshots, run.recorder.snapshots);
  std::int64_t arrived = 0;
  for (const TraceEvent& wait : of_kind(run.track, TraceKind::wait)) arrived += wait.number;
  EXPECT_EQ(arrived, 20);
}

// Of a worker's gradient: its push begins before it arrives, its reply begins after that, and the pull ends after the reply
// began.
TEST(Traced, EventsOfAGradientAreCausal) {
  const TracedRun run(2, {16});
  std::size_t gradients = 0;
  for (int worker = 0; worker < 2; ++worker) {
    const TraceTrack& track = *std::next(run.tracks.begin(), worker);
    expect_apart(track);
    const auto pushes = of_kind(track, TraceKind::push), pulls = of_kind(track, TraceKind::pull);
    std::vector<TraceEvent> marks, replies;
    for (const TraceEvent& event : run.track.events()) {
      if (event.worker != worker) continue;
      (event.kind == TraceKind::gradient ? marks : replies).push_back(event);
    }
    ASSERT_EQ(marks.size(), pushes.size());
    ASSERT_EQ(pulls.size(), pushes.size() + 1);
    ASSERT_EQ(replies.size(), pulls.size());
    for (std::size_t i = 0; i < pushes.size(); ++i) {
      EXPECT_EQ(pushes[i].number, marks[i].number);
      EXPECT_EQ(pushes[i].version, marks[i].version);
      EXPECT_LE(pushes[i].begin, marks[i].begin);
      EXPECT_LE(marks[i].begin, replies[i + 1].begin);
      EXPECT_LE(replies[i + 1].begin, pulls[i + 1].end);
      EXPECT_EQ(replies[i + 1].version, pulls[i + 1].version);
    }
    gradients += pushes.size();
  }
  EXPECT_EQ(gradients, 16U);
}

TEST(Traced, ChangesNoBits) {
  const TracedRun run(1, {20});
  Recorder recorder;
  EXPECT_EQ(run.model.state(), train_direct(kModel, amsgrad(0.01), {20}, recorder));
}

TEST(Traced, LocalTrainingHasUpdatesAndSnapshots) {
  QuadraticSource source(kModel);
  Model model(kModel, amsgrad(0.01), 1);
  Recorder recorder;
  ScriptedControl control;
  MasterState master(model.updater, model.history, {.workers = 1, .schedule = {6, 3}});
  TraceTrack track("local", kRoom);
  TracedObserver traced(recorder, track);
  { const TraceScope before(&track, TraceKind::compute); }
  train_directly(master, source, control, traced);
  expect_apart(track);
  EXPECT_EQ(of_kind(track, TraceKind::update).size(), 6U);
  EXPECT_EQ(of_kind(track, TraceKind::snapshot).size(), 2U);
  EXPECT_EQ(of_kind(track, TraceKind::update).back().version, 6);
  EXPECT_EQ(recorder.records.size(), 6U);
}

TEST(Traced, SynchronousRanksWaitForSums) {
  ThreadsAllReduce all_reduce(2);
  std::list<TraceTrack> tracks;
  std::vector<std::vector<float>> states(2);
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < 2; ++rank) {
    TraceTrack& track = tracks.emplace_back("sync", kRoom);
    bodies.emplace_back([&, rank] {
      QuadraticSource source(kModel);
      Exec exec = plain_exec();
      engine::Updater updater(exec, source.arena(), sgd(0.1));
      ScriptedControl control;
      IgnoreEvents none;
      TracedObserver observer(none, track);
      TracedAllReduce traced(all_reduce.rank(rank), track);
      SynchronousTrainer(traced, updater, source, {8, 4}, observer).run(control);
      states[static_cast<std::size_t>(rank)] = values(source.arena().state());
    });
  }
  run_threads(bodies, [&](const std::string& reason) { all_reduce.close(reason); });
  EXPECT_EQ(states[0], states[1]);
  for (const TraceTrack& track : tracks) {
    expect_apart(track);
    EXPECT_EQ(of_kind(track, TraceKind::all_reduce).size(), 8U);
    EXPECT_EQ(of_kind(track, TraceKind::headers).size(), 8U);
    EXPECT_EQ(of_kind(track, TraceKind::update).size(), 8U);
  }
}

TEST(TraceTrack, KeepsTheFirstEventsAndCountsTheOthers) {
  TraceTrack track("t", 2);
  const TraceEvent* const memory = track.events().data();
  for (std::int64_t i = 0; i < 5; ++i) track.add({.begin = 10 * i, .end = 10 * i + 4, .number = i, .kind = TraceKind::push});
  ASSERT_EQ(track.events().size(), 2U);
  EXPECT_EQ(track.events().data(), memory);
  EXPECT_EQ(track.events()[1].number, 1);
  EXPECT_EQ(track.dropped(), 3);
  EXPECT_EQ(track.last_end(), 44);
  EXPECT_DOUBLE_EQ(track.seconds(TraceKind::push), 20e-9);  // of all five
  EXPECT_EQ(track.seconds(TraceKind::pull), 0);
}

TEST(TraceTrack, EveryKindHasItsOwnName) {
  std::set<std::string_view> names;
  for (std::size_t kind = 0; kind < kTraceKinds; ++kind) names.insert(info(static_cast<TraceKind>(kind)).name);
  EXPECT_EQ(names.size(), kTraceKinds);
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace apam::exchange::test
