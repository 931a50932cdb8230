#include "apam/cli/exchange_ranks.h"

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "apam/cli/ended.h"
#include "apam/exchange/backup_ranks.h"
#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/drivers/traced.h"
#include "apam/exchange/mpi/all_reduce.h"
#include "apam/exchange/mpi/first_arrivals.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/nccl/all_reduce.h"
#include "apam/exchange/shared/followers.h"
#include "apam/exchange/staged_all_reduce.h"
#include "apam/exchange/staged_worker.h"
#include "apam/exchange/synchronous.h"
#include "apam/exchange/worker.h"
#include "kernels/runtime/start_thread.h"

namespace apam::cli {
namespace {

using exchange::mpi::Environment;
using training::RunPlan;
using training::TrainOptions;

/// Where the events of synchronous training go.
class SynchronousEvents {
 public:
  explicit SynchronousEvents(Rank& rank) {
    if (rank.output) target_ = &rank.output->metrics();
    if (rank.tracing) target_ = &traced_.emplace(*target_, rank.tracing->exchange());
  }
  SynchronousEvents(const SynchronousEvents&) = delete;
  SynchronousEvents& operator=(const SynchronousEvents&) = delete;

  exchange::Observer& target() { return *target_; }

 private:
  exchange::IgnoreEvents none_;
  exchange::Observer* target_ = &none_;
  std::optional<exchange::TracedObserver> traced_;
};

std::unique_ptr<exchange::FirstArrivals> make_first_arrivals(const Rank& rank, const Environment& environment) {
  if (const auto& shared = rank.shared.backup) {
    return make_first_arrivals(shared->group, environment.rank(), &shared->others);
  }
  return exchange::mpi::make_first_arrivals(environment, rank.plan.backup_sizes(), rank.source->arena().outgoing());
}

training::ExchangeResult exchange_with_backup(Rank& rank, const Environment& environment, exchange::Control& control) {
  const auto arrivals = make_first_arrivals(rank, environment);
  SynchronousEvents events(rank);
  exchange::BackupTrainer trainer(*arrivals, *rank.updater, *rank.source, rank.plan.schedule, events.target());
  const exchange::Ending ending = trainer.run(control);
  return {std::string(arrivals->name()), ending, trainer.divergence(), trainer.leases()};
}

training::ExchangeResult exchange_synchronously(Rank& rank, const Environment& environment, exchange::Control& control) {
  if (rank.plan.gradients_per_update > 0) return exchange_with_backup(rank, environment, control);
  const auto& shared = rank.shared.sync;
  const auto all_reduce = shared ? make_all_reduce(shared->group, environment.rank(), &shared->others)
                                 : exchange::mpi::make_all_reduce(environment);
  std::optional<exchange::nccl::AllReduce> of_gpus;
  std::optional<exchange::StagedAllReduce> staged;
  if (rank.shared.gpus) {
    of_gpus.emplace(*all_reduce, *rank.shared.gpus, rank.exec->stream());
  } else if (rank.exec->device().kind == DeviceKind::cuda) {
    const Span<float> contribution = rank.arena->outgoing();
    rank.staged_contribution = Buffer(contribution.device(), contribution.size_bytes(), MemoryKind::pinned);
    staged.emplace(*all_reduce, rank.exec->stream(), contribution, rank.staged_contribution.as<float>());
  }
  exchange::AllReduce& on_host_or_staged = staged ? *staged : *all_reduce;
  exchange::AllReduce& sums = of_gpus ? *of_gpus : on_host_or_staged;
  std::optional<exchange::TracedAllReduce> traced;
  if (rank.tracing) traced.emplace(sums, rank.tracing->exchange());
  SynchronousEvents events(rank);
  exchange::SynchronousTrainer trainer(traced ? *traced : sums, *rank.updater, *rank.source, rank.plan.schedule,
                                       events.target());
  const exchange::Ending ending = trainer.run(control);
  return {std::string(sums.name()), ending, trainer.divergence()};
}

exchange::Order order_of(const TrainOptions& options) {
  return options.master_order == "free" ? exchange::Order::free : exchange::Order::sequenced;
}

exchange::mpi::MessageSizes message_sizes(const RunPlan& plan, const TrainOptions& options) {
  using exchange::mpi::Wire;
  return {.contribution = plan.history.state(),
          .weights = plan.history.weights,
          .wire = options.wire == "bf16" ? Wire::bfloat16 : Wire::float32,
          .masters = plan.budget.roles.masters,
          .order = order_of(options),
          .colocated = options.colocate};
}

using Peers = exchange::mpi::Peers;

/// A rank of asynchronous training. `peers`: those that exchange messages; null: they share memory.
struct AsyncRank {
  Rank& rank;
  const Environment& environment;
  const TrainOptions& options;
  exchange::Control& control;
  const Peers* peers;
};

/// Null on the CPU, where work is done when a call returns.
const Stream* stream_of_gpu(const Exec& exec) { return exec.device().kind == DeviceKind::cuda ? &exec.stream() : nullptr; }

/// What a worker uses. Members are made in order.
struct WorkerSide {
  std::unique_ptr<exchange::WorkerTransport> transport;
  std::optional<exchange::StagedWorker> staged;  // on a GPU
  std::optional<exchange::TracedWorker> traced;

  exchange::WorkerTransport& outermost() {
    exchange::WorkerTransport& untraced = staged ? *staged : *transport;
    return traced ? *traced : untraced;
  }
};

/// Messages of a worker on a GPU.
void make_messages_of_gpu(WorkerSide& side, Rank& rank, const Peers& peers) {
  const Exec& exec = rank.exec_of_worker();
  if (rank.plan.device_buffers) {
    side.transport = make_worker_transport(peers, rank.arena_of_worker().weights(), {}, &exec.stream());
    return;
  }
  const exchange::HistoryLayout& layout = rank.plan.history;
  const auto pinned = [&](std::size_t floats) { return Buffer(exec.device(), floats * sizeof(float), MemoryKind::pinned); };
  rank.staged_weights = pinned(layout.weights);
  rank.staged_contribution = pinned(layout.state());
  side.transport = make_worker_transport(peers, rank.staged_weights.as<float>());
  side.staged.emplace(*side.transport, exec.stream(), rank.staged_contribution.as<float>(), layout.weights);
}

void make_worker_side(WorkerSide& side, const AsyncRank& self) {
  const auto& [rank, environment, options, control, peers] = self;
  if (peers == nullptr) {
    const bool watches = environment.rank() != 0;  // the process of the master
    side.transport =
        make_worker_transport(rank.shared.async->segment, rank.plan.budget.roles.worker_of(environment.rank()),
                              watches ? &rank.shared.async->others : nullptr, stream_of_gpu(rank.exec_of_worker()));
  } else if (rank.exec_of_worker().device().kind == DeviceKind::cuda) {
    make_messages_of_gpu(side, rank, *peers);
  } else {
    side.transport =
        make_worker_transport(*peers, rank.arena_of_worker().weights(), rank.second ? rank.second->weights() : Span<float>());
  }
  if (rank.tracing) side.traced.emplace(side.outermost(), rank.tracing->worker());
}

void work(const AsyncRank& self) {
  Rank& rank = self.rank;
  WorkerSide side;
  make_worker_side(side, self);
  exchange::Worker(*rank.source, rank.second ? rank.second->outgoing() : Span<float>()).run(side.outermost(), self.control);
}

/// A master that does not order.
void follow(const AsyncRank& self) {
  const auto& [rank, environment, options, control, peers] = self;
  const exchange::StalenessPolicy& policy = exchange::policy_or_none(rank.plan.policy.get());
  if (peers != nullptr) {
    if (order_of(options) == exchange::Order::sequenced) {
      return exchange::mpi::follow(*peers, *rank.updater, rank.plan.history, policy, control);
    }
    const exchange::FreeShard::Options shard{.ahead = options.prefetch_weights, .keep_going = options.keep_going};
    return exchange::mpi::follow_freely(*peers, *rank.updater, rank.plan.history, policy, shard, control);
  }
  const exchange::shared::Segment& segment = rank.shared.async->segment;
  const int master = environment.rank();
  const exchange::shared::SegmentMemory values(segment);
  const auto& range = rank.plan.shards.at(static_cast<std::size_t>(master));
  exchange::ShardFollower follower(*rank.updater, range, policy, values);
  run_follower(segment, master, follower, control, &rank.shared.async->others);
}

/// What a master that orders uses. Members are made in order.
struct MasterSide {
  std::unique_ptr<exchange::MasterTransport> transport;
  std::unique_ptr<exchange::ShardFollowers> shared_followers;
  exchange::ShardFollowers* followers = nullptr;  // of several masters
};

MasterSide make_master_side(Rank& rank, const Peers* peers) {
  MasterSide side;
  if (peers == nullptr) {
    const auto& shared = rank.shared.async;
    side.transport = make_master_transport(shared->segment, &shared->others, stream_of_gpu(*rank.exec));
    if (!rank.shard) return side;
    side.shared_followers = make_followers(shared->segment, rank.plan.net->layout(), &shared->followers);
    side.followers = side.shared_followers.get();
  } else if (rank.shard) {
    auto transport = exchange::mpi::make_sequencer_transport(*peers, *rank.history, rank.plan.net->layout());
    side.followers = &transport->followers();
    side.transport = std::move(transport);
  } else {
    using exchange::mpi::DeviceBuffers;
    const auto buffers = rank.plan.device_buffers ? DeviceBuffers::direct : DeviceBuffers::staged;
    side.transport = exchange::mpi::make_master_transport(*peers, stream_of_gpu(*rank.exec), buffers);
  }
  return side;
}

training::ExchangeResult order(const AsyncRank& self) {
  Rank& rank = self.rank;
  const TrainOptions& train = self.options;
  exchange::Control& control = self.control;
  const MasterSide side = make_master_side(rank, self.peers);
  exchange::MasterTransport& transport = *side.transport;
  exchange::MasterOptions options{.workers = transport.workers(),
                                  .schedule = rank.plan.schedule,
                                  .policy = rank.plan.policy.get(),
                                  .batches = rank.plan.batches,
                                  .followers = side.followers,
                                  .order = order_of(train),
                                  .done = rank.saved ? rank.saved->batches : exchange::BatchProgress(),
                                  .ahead = train.prefetch_weights};
  std::optional<exchange::ControlOfMasters> of_masters;
  if (rank.shard) {
    options.range = rank.plan.shards[0];
    of_masters.emplace(control, *side.followers);
  }
  exchange::MasterState master(*rank.updater, *rank.history, options);
  exchange::Observer& observer = rank.output->metrics();
  std::optional<exchange::TracedMaster> traced;
  if (rank.tracing) traced.emplace(transport, observer, rank.tracing->exchange());
  run_master(master, traced ? *traced : transport, of_masters ? *of_masters : control, traced ? *traced : observer);
  copy(rank.history->current().state(), rank.arena->state());
  training::ExchangeResult result{.transport = std::string(transport.name()),
                                  .ending = master.ending(),
                                  .divergence = master.divergence(),
                                  .leases = master.leases(),
                                  .copied_bytes = transport.copied_bytes()};
  if (options.order == exchange::Order::free) {
    result.staleness_by_master = side.followers->staleness();
    result.staleness_by_master.insert(result.staleness_by_master.begin(), master.staleness().mean());
  }
  return result;
}

/// A master that is a worker too: each in a thread of its own. An exception of one ends the job, since the other may wait for
/// it.
training::ExchangeResult order_or_follow_and_work(const AsyncRank& self) {
  const auto or_end = [&self](const auto& role) {
    try {
      return role();
    } catch (const std::exception& error) {
      end_job_after(error, self.environment);
    }
  };
  const std::jthread worker = start_thread("worker", 1, 1, [&] { or_end([&] { work(self); }); });
  return or_end([&]() -> training::ExchangeResult {
    if (self.rank.output) return order(self);
    follow(self);
    return {};
  });
}

training::ExchangeResult exchange_asynchronously(Rank& rank, const Environment& environment, const TrainOptions& options,
                                                 exchange::Control& control) {
  std::optional<Peers> peers;
  if (!rank.shared.async) peers.emplace(environment, message_sizes(rank.plan, options));
  const AsyncRank self{rank, environment, options, control, peers ? &*peers : nullptr};
  if (rank.updater && rank.source) return order_or_follow_and_work(self);
  if (rank.output) return order(self);
  rank.updater ? follow(self) : work(self);
  return {};
}

}  // namespace

training::ExchangeResult exchange_gradients(Rank& rank, const Environment& environment, const TrainOptions& options,
                                            exchange::Control& control) {
  return options.exchange == "sync" ? exchange_synchronously(rank, environment, control)
                                    : exchange_asynchronously(rank, environment, options, control);
}

}  // namespace apam::cli
