// Transports within one process: all must end with the same bits as a script with the same order of arrival.
#include <gtest/gtest.h>

#include "apam/exchange/error.h"
#include "apam/exchange/local/direct.h"
#include "apam/exchange/local/threads.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

using std::chrono::milliseconds;

struct LocalRun {
  LocalRun(const std::vector<milliseconds>& delays, const Schedule& schedule)
      : sources(make_sources(kModel, delays)),
        master(model.updater, model.history, {.workers = static_cast<int>(delays.size()), .schedule = schedule}) {}

  void train() {
    const auto each = pointers(sources);
    train_on_threads(master, each, control, recorder);
  }

  Model model{kModel, amsgrad(0.01)};
  std::vector<std::unique_ptr<QuadraticSource>> sources;
  Recorder recorder;
  ScriptedControl control;
  MasterState master;
};

TEST(Direct, TakesEveryBatchInOrder) {
  Recorder recorder;
  const auto state = train_direct(kModel, amsgrad(0.01), {25, 10}, recorder);
  EXPECT_EQ(recorder.staleness(), std::vector<std::int64_t>(25, 0));
  EXPECT_EQ(recorder.snapshots, (std::vector<std::int64_t>{10, 20, 25}));
  EXPECT_EQ(recorder.states.back(), state);
  for (std::int64_t i = 0; i < 25; ++i) EXPECT_EQ(recorder.batches()[static_cast<std::size_t>(i)], i);
}

TEST(Direct, IsAScriptOfOneWorker) {
  Recorder recorder;
  EXPECT_EQ(train_direct(kModel, amsgrad(0.01), {25}, recorder),
            replay(kModel, amsgrad(0.01), 1, std::vector<std::vector<int>>(25, {0})));
}

TEST(Direct, NeedsOneWorker) {
  QuadraticSource source(kModel);
  Model model(kModel, sgd(0.1));
  Recorder recorder;
  ScriptedControl control;
  MasterState two(model.updater, model.history, {.workers = 2, .schedule = {4}});
  EXPECT_THROW(train_directly(two, source, control, recorder), InputError);
}

TEST(Direct, AHistoryOfSeveralVersionsGivesTheSameBits) {
  QuadraticSource source(kModel);
  Model model(kModel, amsgrad(0.01), 1);
  Recorder recorder, in_place;
  ScriptedControl control;
  MasterState master(model.updater, model.history, {.schedule = {25, 5}});
  train_directly(master, source, control, recorder);
  EXPECT_EQ(model.state(), train_direct(kModel, amsgrad(0.01), {25, 5}, in_place));
  EXPECT_EQ(recorder.states, in_place.states);
}

TEST(Direct, StopsOnASignal) {
  QuadraticSource source(kModel);
  Model model(kModel, sgd(0.1), 1);
  ScriptedControl control;
  Recorder recorder;
  recorder.then = [&](const UpdateRecord& record) { control.signal = record.update == 3 ? 15 : 0; };
  MasterState master(model.updater, model.history, {.schedule = {10, 2}});
  train_directly(master, source, control, recorder);
  EXPECT_EQ(master.ending().why, Ending::Why::interrupted);
  EXPECT_EQ(master.ending().signal, 15);
  EXPECT_EQ(recorder.records.size(), 3U);
  EXPECT_EQ(source.computed().size(), 3U) << "every computed gradient is applied";
}

TEST(Threads, ASignalToTheMasterStopsAll) {
  LocalRun run(std::vector<milliseconds>(3), {100000});
  run.recorder.then = [&](const UpdateRecord& record) {
    if (record.update == 20) run.control.signal = 2;
  };
  run.train();
  EXPECT_TRUE(run.master.done());
  // The observer hears of an update after the whole pass, of up to three gradients.
  EXPECT_GE(run.master.ending().update, 20);
  EXPECT_LE(run.master.ending().update, 22);
  EXPECT_EQ(static_cast<std::int64_t>(run.recorder.records.size()), run.master.ending().update);
}

TEST(Threads, OneWorkerIsLocalTrainingToTheBit) {
  LocalRun run({milliseconds(0)}, {25, 10});
  run.train();
  Recorder local;
  EXPECT_EQ(run.model.state(), train_direct(kModel, amsgrad(0.01), {25, 10}, local));
  EXPECT_EQ(run.recorder.states, local.states);
  EXPECT_EQ(run.recorder.staleness(), local.staleness());
}

TEST(Threads, WorkersOfDifferentSpeeds) {
  LocalRun run({milliseconds(0), milliseconds(1), milliseconds(5)}, {200});
  run.train();
  expect_lawful(run.recorder, run.master.staleness(), 3, 200);
  EXPECT_GT(run.master.staleness().by_worker()[0], run.master.staleness().by_worker()[2]);
  EXPECT_EQ(run.model.state(), replay(kModel, amsgrad(0.01), 3, run.recorder.passes()));
}

TEST(Threads, MoreWorkersThanUpdates) {
  LocalRun run(std::vector<milliseconds>(6), {4});
  run.train();
  expect_lawful(run.recorder, run.master.staleness(), 6, 4);
  EXPECT_EQ(run.sources[5]->computed().size(), 0U);
}

TEST(Threads, AnObserverThatFailsEndsTheRun) {
  LocalRun run(std::vector<milliseconds>(3), {1000});
  run.recorder.then = [](const UpdateRecord& record) {
    if (record.update == 10) throw InputError("the disk is full");
  };
  try {
    run.train();
    FAIL() << "nothing was thrown";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "the disk is full");
  }
}

class FailingSource final : public GradientSource {
 public:
  void prepare(const BatchShare&) override {}
  GradientHeader compute(const BatchShare& share) override {
    if (share.batch >= 6) throw DeviceError("out of memory");
    return inner_.compute(share);
  }
  const engine::ParameterArena& arena() const override { return inner_.arena(); }
  void on_gradient_ready(std::function<void(engine::ParameterId)>) override {}

 private:
  QuadraticSource inner_{kModel};
};

TEST(Threads, AWorkerThatFailsEndsTheRun) {
  Model model(kModel, sgd(0.01));
  QuadraticSource good(kModel);
  FailingSource bad;
  Recorder recorder;
  MasterState master(model.updater, model.history, {.workers = 2, .schedule = {1000}});
  const std::vector<GradientSource*> sources{&good, &bad};
  ScriptedControl control;
  EXPECT_THROW(train_on_threads(master, sources, control, recorder), DeviceError);
  EXPECT_LT(recorder.records.size(), 1000U);
}

}  // namespace
}  // namespace apam::exchange::test
