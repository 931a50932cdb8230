// A run of masters and their workers over MPI.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <optional>
#include <thread>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/mpi/parts.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/roles.h"
#include "apam/exchange/worker.h"
#include "tests/exchange/mpi_world.h"
#include "tests/exchange/shards_support.h"

namespace apam::exchange::test {

inline const QuadraticOptions kLargeModel{.sizes = {1 << 18, 3, 1 << 16}, .channels = 5, .spread = 1.0F};

struct MastersOptions {
  int masters = 2;
  bool colocated = false;
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
  std::atomic<int> looked_ = 0;  // by all roles of the rank
};

/// Changes gradients as the options say.
class SpoiledSource final : public GradientSource {
 public:
  SpoiledSource(const MastersOptions& options, const QuadraticOptions& quadratic)
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

class MastersRun {
 public:
  explicit MastersRun(const MastersOptions& options)
      : options_(options),
        roles_(Roles::of(world().ranks(), options.masters, options.colocated)),
        policy_(make_policy(options.policy)),
        control_(options.signalled == world().rank()),
        model(options.quadratic, options.optimizer, layout(options)) {
    const int rank = world().rank();
    const mpi::Peers peers(world(), sizes(), sends());
    if (!roles_.is_master(rank)) {
      work(peers);
      return;
    }
    std::jthread worker;
    if (roles_.is_worker(rank)) worker = std::jthread([&] { end_after_errors([&] { work(peers); }); });
    const auto lead = [&] { rank == 0 ? order(peers) : follow(peers); };
    worker.joinable() ? end_after_errors(lead) : lead();
  }

  mpi::MessageSizes sizes() const {
    const auto layout = quadratic_layout(options_.quadratic);
    const std::size_t weights = layout.weights_size();
    return {.contribution = weights + layout.statistics_size(),
            .weights = weights,
            .part = weights / 5,
            .masters = options_.masters,
            .order = options_.order,
            .colocated = options_.colocated};
  }

  bool orders() const { return world().rank() == 0; }
  int workers() const { return roles_.workers; }
  std::vector<float> replayed() const {
    return replay(options_.quadratic, options_.optimizer, workers(), recorder.passes(), options_.between, policy_.get());
  }

 private:
  HistoryLayout layout(const MastersOptions& options) const {
    HistoryLayout layout = history_layout(options.quadratic, workers());
    layout.slots = HistoryLayout::slots_for(workers(), 0, 2);  // the fewest with which versions can be compensated
    return layout;
  }

  /// One of two roles of a rank: the other one may wait for it for ever.
  template <class Role>
  static void end_after_errors(const Role& role) {
    try {
      role();
    } catch (const std::exception& error) {
      fmt::print(stderr, "rank {}: {}\n", world().rank(), error.what());
      mpi::end_job(1);
    }
  }

  void order(const mpi::Peers& peers) {
    Shard shard(exec_, quadratic_layout(options_.quadratic), mpi::ranges_of(sizes())[0], options_.optimizer);
    std::unique_ptr<mpi::SequencerTransport> of_several;
    std::unique_ptr<MasterTransport> of_one;
    if (options_.masters > 1) {
      of_several = mpi::make_sequencer_transport(peers, model.history, model.arena.layout());
    } else {
      of_one = mpi::make_master_transport(peers);
    }
    MasterTransport* const transport = of_several ? of_several.get() : of_one.get();
    ShardFollowers* const followers = of_several ? &of_several->followers() : nullptr;
    MasterState master(shard.updater, model.history,
                       {.workers = workers(),
                        .schedule = options_.schedule,
                        .policy = policy_.get(),
                        .range = shard.range,
                        .followers = followers,
                        .order = options_.order,
                        .ahead = options_.between == Between::compute_ahead});
    std::optional<ControlOfMasters> of_masters;
    if (followers != nullptr) of_masters.emplace(control_, *followers);
    run_master(master, *transport, of_masters ? static_cast<Control&>(*of_masters) : control_, recorder);
    ending = master.ending();
    divergence = master.divergence();
    leases = master.leases();
    bytes = transport->copied_bytes();
  }

  void follow(const mpi::Peers& peers) {
    const auto rank = static_cast<std::size_t>(world().rank());
    Shard shard(exec_, quadratic_layout(options_.quadratic), mpi::ranges_of(sizes())[rank], options_.optimizer);
    if (options_.order == Order::sequenced) {
      mpi::follow(peers, shard.updater, layout(options_), *policy_, control_);
    } else {
      const FreeShard::Options free{.ahead = options_.between == Between::compute_ahead,
                                    .keep_going = options_.schedule.keep_going};
      mpi::follow_freely(peers, shard.updater, layout(options_), *policy_, free, control_);
    }
  }

  void work(const mpi::Peers& peers) {
    QuadraticOptions quadratic = options_.quadratic;
    quadratic.delay = options_.step * roles_.worker_of(world().rank());
    const bool waits = options_.between == Between::wait;
    const engine::ParameterArena second = make_second(quadratic);
    SpoiledSource source(options_, quadratic);
    const auto transport =
        mpi::make_worker_transport(peers, source.arena().weights(), waits ? Span<float>() : second.weights());
    Worker(source, waits ? Span<float>() : second.outgoing()).run(*transport, control_);
  }

  MastersOptions options_;
  Roles roles_;
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

/// A weight after one update of SGD by 1 + batch for each of these, exactly.
inline float counted(const MastersRun& run) {
  float sum = 0;
  for (const std::int64_t batch : run.recorder.batches()) sum += 1.0F + static_cast<float>(batch);
  return kFirstWeight - sum / 1024;
}

inline void expect_counted(const MastersRun& run) {
  const auto layout = quadratic_layout(kModel);
  for (const auto& parameter : layout.parameters()) {
    for (std::size_t i = 0; i < parameter.shape.size(); ++i) {
      ASSERT_EQ(run.model.state()[parameter.offset + i], counted(run)) << parameter.name << " " << i;
    }
  }
  EXPECT_EQ(run.leases.granted, run.leases.ended());
}

/// Every number of masters that leaves a worker.
template <class Test>
void with_masters(const Test& test) {
  if (world().ranks() < 3) GTEST_SKIP() << "for 3 ranks or more";
  for (int masters = 2; masters < world().ranks(); ++masters) test(masters);
}

}  // namespace apam::exchange::test
