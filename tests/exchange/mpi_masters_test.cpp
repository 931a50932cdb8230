// Several masters that exchange messages, for 3 or more ranks: for any number of them the state has the bits of a script with
// the same order of arrival on one master, as have all snapshots with one worker. With orders of their own this holds for one
// worker; of several, all masters must have applied the same gradients, each once.
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
  Order order = Order::sequenced;
  QuadraticOptions quadratic = kModel;
  Schedule schedule{60, 15};
  PolicyOptions policy{};
  Between between = Between::wait;
  engine::OptimizerOptions optimizer = amsgrad(0.01);
  std::optional<int> signalled{};         // a master, after a while
  std::optional<std::size_t> infinite{};  // element of the contribution for batch 7
  bool counts = false;                    // gradients are 1 + their batch, and the loss of batch 7 is infinite
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

/// Changes gradients as the options say.
class SpoiledSource final : public GradientSource {
 public:
  SpoiledSource(const Options& options, const QuadraticOptions& quadratic)
      : source_(quadratic), element_(options.infinite), counts_(options.counts) {}

  void prepare(const BatchShare& share) override { source_.prepare(share); }
  GradientHeader compute(const BatchShare& share) override {
    GradientHeader header = source_.compute(share);
    const auto outgoing = source_.arena().outgoing().host();
    if (element_ && share.batch == 7) outgoing[*element_] = INFINITY;
    if (counts_) std::ranges::fill(outgoing, 1.0F + static_cast<float>(share.batch));
    if (counts_ && share.batch == 7) header.loss_sum = INFINITY;
    return header;
  }
  const engine::ParameterArena& arena() const override { return source_.arena(); }
  void on_gradient_ready(std::function<void(engine::ParameterId)> callback) override {
    const bool spoils = element_ || counts_;
    if (!spoils) source_.on_gradient_ready(std::move(callback));  // else parts would leave before they are spoiled
  }

 private:
  QuadraticSource source_;
  std::optional<std::size_t> element_;
  bool counts_;
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
            .masters = options_.masters,
            .order = options_.order};
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
                        .order = options_.order,
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
    if (options_.order == Order::sequenced) {
      mpi::follow(world(), sizes(), shard.updater, layout(options_), *policy_, control_, sends());
    } else {
      const FreeShard::Options free{.ahead = options_.between == Between::compute_ahead,
                                    .keep_going = options_.schedule.keep_going};
      mpi::follow_freely(world(), sizes(), shard.updater, layout(options_), *policy_, free, control_, sends());
    }
  }

  void work(int worker) {
    QuadraticOptions quadratic = options_.quadratic;
    quadratic.delay = options_.step * worker;
    const bool waits = options_.between == Between::wait;
    const engine::ParameterArena second = make_second(quadratic);
    SpoiledSource source(options_, quadratic);
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

const UpdateRecord& by_batch(const Recorder& recorder, std::int64_t batch) {
  return *std::ranges::find_if(recorder.records, [&](const UpdateRecord& one) { return one.header.batch == batch; });
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
      const UpdateRecord& last = run.recorder.records.at(static_cast<std::size_t>(run.divergence->update - 1));
      const UpdateRecord& spoiled = by_batch(run.recorder, 7);
      EXPECT_EQ(last.update - last.place, spoiled.update - spoiled.place) << "the last of its pass";
    }
  });
}

TEST(MpiMasters, RunsFollowOneAnother) {
  with_masters([](int masters) {
    for (int i = 0; i < 6; ++i) {
      const Order order = i % 2 == 0 ? Order::sequenced : Order::free;
      const MastersRun run({.masters = masters, .order = order, .schedule = {10}});
      if (!run.orders() || (order == Order::free && run.workers() > 1)) continue;
      EXPECT_EQ(run.model.state(), run.replayed());
    }
  });
}

TEST(MpiMasters, WithOrdersOfTheirOwnLeaveTheBitsOfOneForOneWorker) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  for (const PolicyOptions& policy :
       std::vector<PolicyOptions>{{}, {.name = "scaled", .factor = 0.5}, {.name = "compensated", .factor = 0.5}}) {
    for (const Between between : {Between::wait, Between::compute_ahead}) {
      for (const auto& quadratic : {kModel, kLargeModel}) {
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
}

/// A weight after one update of SGD by 1 + batch for each of these, exactly.
float counted(const MastersRun& run) {
  float sum = 0;
  for (const std::int64_t batch : run.recorder.batches()) sum += 1.0F + static_cast<float>(batch);
  return kFirstWeight - sum / 1024;
}

void expect_counted(const MastersRun& run) {
  const auto layout = quadratic_layout(kModel);
  for (const auto& parameter : layout.parameters()) {
    for (std::size_t i = 0; i < parameter.shape.size(); ++i) {
      ASSERT_EQ(run.model.state()[parameter.offset + i], counted(run)) << parameter.name << " " << i;
    }
  }
  EXPECT_EQ(run.leases.granted, run.leases.ended());
}

// A loss that is not finite ends the run, and no master applies its gradient. All apply what is in flight.
TEST(MpiMasters, WithOrdersOfTheirOwnApplyTheSameGradients) {
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

TEST(MpiMasters, WithOrdersOfTheirOwnStopTogetherAtASignal) {
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

TEST(MpiMasters, WithOrdersOfTheirOwnNameTheFirstValueThatIsNotFinite) {
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

TEST(MpiMasters, DifferentNumbersAreAnError) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  const bool differs = world().rank() == 2;
  std::vector<float> weights(64);
  const auto start = [&](const mpi::MessageSizes& mine) {
    if (world().rank() == 0) {
      mpi::make_master_transport(world(), mine);
    } else {
      mpi::make_worker_transport(world(), mine, std::span<float>(weights));
    }
  };
  EXPECT_TRUE(support::throws<ExchangeError>({"rank 2", "with 2 and 1 masters"}, [&] {
    start({.contribution = 64, .weights = 64, .masters = differs ? 2 : 1});
  }));
  EXPECT_TRUE(support::throws<ExchangeError>({"rank 2", "free and sequenced as order"}, [&] {
    start({.contribution = 64, .weights = 64, .order = differs ? Order::free : Order::sequenced});
  }));
}

}  // namespace
}  // namespace apam::exchange::test
