// Several masters that exchange messages, for 3 or more ranks: for any number of them the state has the bits of a script with
// the same order of arrival on one master, as have all snapshots with one worker.
#include <gtest/gtest.h>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/local/threads.h"
#include "apam/exchange/mpi/parts.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/worker.h"
#include "tests/exchange/mpi_world.h"
#include "tests/exchange/shards_support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

const QuadraticOptions kModel{.sizes = {33, 5, 70}, .channels = 3, .rows = 6, .spread = 1.5F};
const QuadraticOptions kLargeModel{.sizes = {1 << 18, 3, 1 << 16}, .channels = 5, .spread = 1.0F};

struct Options {
  int masters = 2;
  QuadraticOptions quadratic = kModel;
  Schedule schedule{60, 15};
  PolicyOptions policy{};
  Between between = Between::wait;
  engine::OptimizerOptions optimizer = amsgrad(0.01);
  std::optional<int> signalled{};         // a master, after a while
  std::optional<std::size_t> infinite{};  // element of the contribution for batch 7
  std::chrono::milliseconds step{1};
};

/// A signal comes when the master has looked for it a few times.
class LateSignal final : public Control {
 public:
  explicit LateSignal(bool comes) : comes_(comes) {}
  double now() override { return 0; }
  int stop_signal() override { return comes_ && ++looked_ > 30 ? 15 : 0; }

 private:
  bool comes_;
  int looked_ = 0;
};

/// Makes an element of one contribution infinite.
class SpoiledSource final : public GradientSource {
 public:
  SpoiledSource(const QuadraticOptions& options, std::optional<std::size_t> element) : source_(options), element_(element) {}

  void prepare(const BatchShare& share) override { source_.prepare(share); }
  GradientHeader compute(const BatchShare& share) override {
    const GradientHeader header = source_.compute(share);
    if (element_ && share.batch == 7) source_.arena().outgoing().host()[*element_] = INFINITY;
    return header;
  }
  const engine::ParameterArena& arena() const override { return source_.arena(); }
  void on_gradient_ready(std::function<void(engine::ParameterId)> callback) override {
    if (!element_) source_.on_gradient_ready(std::move(callback));  // else parts would leave before they are spoiled
  }

 private:
  QuadraticSource source_;
  std::optional<std::size_t> element_;
};

/// Ranks below `masters` are masters, the others workers.
class MastersRun {
 public:
  explicit MastersRun(const Options& options)
      : options_(options),
        workers_(world().ranks() - options.masters),
        policy_(make_policy(options.policy)),
        control_(options.signalled == world().rank()),
        model(options.quadratic, options.optimizer, layout(options)) {
    const int rank = world().rank();
    if (rank == 0) {
      order();
    } else if (rank < options.masters) {
      follow();
    } else {
      work(rank - options.masters);
    }
  }

  mpi::MessageSizes sizes() const {
    const auto layout = quadratic_layout(options_.quadratic);
    const std::size_t weights = layout.weights_size();
    return {.contribution = weights + layout.statistics_size(),
            .weights = weights,
            .part = weights / 5,
            .masters = options_.masters};
  }

  bool orders() const { return world().rank() == 0; }
  int workers() const { return workers_; }
  std::vector<float> replayed() const {
    return replay(options_.quadratic, options_.optimizer, workers_, recorder.passes(), options_.between, policy_.get());
  }

 private:
  HistoryLayout layout(const Options& options) const {
    HistoryLayout layout = history_layout(options.quadratic, workers_);
    layout.slots = HistoryLayout::slots_for(workers_, 0, 2);  // the fewest with which versions can be compensated
    return layout;
  }

  void order() {
    Shard shard(exec_, quadratic_layout(options_.quadratic), mpi::ranges_of(sizes())[0], options_.optimizer);
    const auto transport = mpi::make_sequencer_transport(world(), sizes(), model.history, model.arena.layout(), sends());
    MasterState master(shard.updater, model.history,
                       {.workers = workers_,
                        .schedule = options_.schedule,
                        .policy = policy_.get(),
                        .range = shard.range,
                        .followers = &transport->followers(),
                        .ahead = options_.between == Between::compute_ahead});
    ControlOfMasters control(control_, transport->followers());
    run_master(master, *transport, control, recorder);
    ending = master.ending();
    divergence = master.divergence();
    leases = master.leases();
    bytes = transport->copied_bytes();
  }

  void follow() {
    const auto rank = static_cast<std::size_t>(world().rank());
    Shard shard(exec_, quadratic_layout(options_.quadratic), mpi::ranges_of(sizes())[rank], options_.optimizer);
    mpi::follow(world(), sizes(), shard.updater, layout(options_), *policy_, control_, sends());
  }

  void work(int worker) {
    QuadraticOptions quadratic = options_.quadratic;
    quadratic.delay = options_.step * worker;
    const bool waits = options_.between == Between::wait;
    const engine::ParameterArena second = make_second(quadratic);
    SpoiledSource source(quadratic, options_.infinite);
    const auto transport = mpi::make_worker_transport(world(), sizes(), source.arena().weights(), sends(),
                                                      waits ? Span<float>() : second.weights());
    Worker(source, waits ? Span<float>() : second.outgoing()).run(*transport, control_);
  }

  Options options_;
  int workers_;
  std::unique_ptr<const StalenessPolicy> policy_;
  Exec exec_ = plain_exec();
  LateSignal control_;

 public:
  // Of the master that orders.
  Model model;
  Recorder recorder;
  Ending ending;
  std::optional<Divergence> divergence;
  LeaseCounts leases;
  std::int64_t bytes = 0;
};

/// Every number of masters that leaves a worker.
template <class Test>
void with_masters(const Test& test) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  for (int masters = 2; masters < world().ranks(); ++masters) test(masters);
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
      EXPECT_EQ(run.recorder.records.at(static_cast<std::size_t>(run.divergence->update - 1)).header.batch, 7);
    }
  });
}

TEST(MpiMasters, RunsFollowOneAnother) {
  with_masters([](int masters) {
    for (int i = 0; i < 5; ++i) {
      const MastersRun run({.masters = masters, .schedule = {10}});
      if (!run.orders()) continue;
      EXPECT_EQ(run.model.state(), run.replayed());
    }
  });
}

TEST(MpiMasters, DifferentNumbersAreAnError) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  const mpi::MessageSizes mine{.contribution = 64, .weights = 64, .masters = world().rank() == 2 ? 2 : 1};
  std::vector<float> weights(64);
  EXPECT_TRUE(support::throws<ExchangeError>({"rank 2", "with 2 and 1 masters"}, [&] {
    if (world().rank() == 0) {
      mpi::make_master_transport(world(), mine);
    } else {
      mpi::make_worker_transport(world(), mine, std::span<float>(weights));
    }
  }));
}

}  // namespace
}  // namespace apam::exchange::test
