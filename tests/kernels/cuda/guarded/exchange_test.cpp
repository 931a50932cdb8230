// Training under mpiexec with ranks on a GPU, the guarded one, and on the CPU. The final state of the master must have the bits
// of a repetition on the CPU in one process, which computes each gradient at the version that its worker has reported.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/mpi/wire.h"
#include "apam/exchange/policies/changed_gradient.h"
#include "apam/exchange/policies/policy.h"
#include "apam/exchange/shared/ranks.h"
#include "apam/exchange/staged_worker.h"
#include "apam/exchange/worker.h"
#include "kernels/runtime/host_values.h"
#include "kernels/runtime/shared_memory.h"
#include "tests/kernels/cuda/guarded/computer.h"
#include "tests/kernels/cuda/guarded/guarded_gpu.h"
#include "tests/kernels/cuda/guarded/guarded_mpi.h"
#include "tests/support/throws.h"

namespace apam::support {
namespace {

using exchange::mpi::DeviceBuffers;
using exchange::mpi::Wire;
using exchange::test::workers;
using exchange::test::world;

/// The state after each of the first updates, on the CPU. With values that travel in bfloat16, workers know rounded ones only.
std::map<std::int64_t, std::vector<float>> repeat(const std::vector<exchange::UpdateRecord>& records, Wire wire,
                                                  DType activations) {
  Computer worker("cpu", {}, activations);
  Exec exec(options_for("cpu", DType::float32));
  const engine::ParameterArena master(exec.device(), worker.net.layout());
  master.initialize(7);
  engine::Updater updater(exec, master, kOptimizer);
  const auto travel = [wire](Span<float> values) {
    if (wire == Wire::float32) return;
    std::vector<BFloat16> rounded(values.size());
    exchange::mpi::round_values(values.host(), rounded);
    exchange::mpi::widen_values(rounded, values.host());
  };
  std::map<std::int64_t, std::vector<float>> states{{0, host_values(master.state())}};
  for (const auto& record : records) {
    copy(ConstSpan<float>(std::span(states.at(record.header.computed_at))), worker.arena.state());
    travel(worker.arena.weights());
    worker.source.compute({record.header.batch});
    travel(worker.arena.gradients());
    updater.apply(worker.arena.outgoing());
    states[record.update] = host_values(master.state());
  }
  return states;
}

struct Ranks {
  std::string master, worker;  // devices
  Wire wire = Wire::float32;
  const char* policy = "none";
  DeviceBuffers buffers = DeviceBuffers::staged;
  DType activations = DType::float32;

  bool direct() const { return buffers == DeviceBuffers::direct; }
};
void PrintTo(const Ranks& ranks, std::ostream* out) {
  *out << ranks.master << ' ' << ranks.worker << (ranks.wire == Wire::bfloat16 ? " bfloat16 " : " ") << ranks.policy
       << (ranks.direct() ? " direct " : " ") << to_string(ranks.activations);
}

exchange::mpi::Peers peers_of(const engine::ParameterLayout& layout, Wire wire) {
  const std::size_t weights = layout.weights_size();
  return {world(), {.contribution = weights + layout.statistics_size(), .weights = weights, .part = weights / 5, .wire = wire}};
}

void run_worker(const Ranks& ranks) {
  exchange::NullControl control;
  Computer computer(ranks.worker, {}, ranks.activations);
  const engine::ParameterLayout& layout = computer.net.layout();
  const auto peers = peers_of(layout, ranks.wire);
  const Stream& steps = computer.exec.stream();
  if (ranks.worker == "cpu") {
    const auto transport = make_worker_transport(peers, computer.arena.weights());
    exchange::Worker(computer.source).run(*transport, control);
    return;
  }
  if (ranks.direct()) {
    const auto transport = make_worker_transport(peers, computer.arena.weights(), {}, &steps);
    exchange::Worker(computer.source).run(*transport, control);
    return;
  }
  const Buffer weights(steps.device(), computer.arena.weights().size_bytes(), MemoryKind::pinned);
  const Buffer contribution(steps.device(), computer.arena.outgoing().size_bytes(), MemoryKind::pinned);
  const auto transport = make_worker_transport(peers, weights.as<float>());
  exchange::StagedWorker staged(*transport, steps, contribution.as<float>(), layout.weights_size(), layout.weights_size() / 3);
  exchange::Worker(computer.source).run(staged, control);
}

exchange::HistoryLayout history_layout(const engine::ParameterLayout& layout) {
  return {layout.weights_size(), layout.statistics_size(), 1, exchange::HistoryLayout::slots_for(workers(), 1)};
}

/// A master of the small net, without a transport.
struct Master {
  explicit Master(std::string_view device, Span<float> versions = {})
      : exec(options_for(device, DType::float32)), arena(exec.device(), net.layout(), engine::ParameterArena::Contents::state) {
    arena.initialize(7);
    const exchange::HistoryLayout layout = history_layout(net.layout());
    versions.empty() ? history.emplace(exec.device(), layout) : history.emplace(versions, layout);
    history->publish_first(arena.state());
  }

  /// Trains, and expects the states of the repetition.
  void run(exchange::MasterTransport& transport, Wire wire, std::string_view policy_name = "none",
           DType activations = DType::float32) {
    Recorder recorder;
    exchange::NullControl control;
    exchange::PolicyOptions options{.name = std::string(policy_name)};
    if (policy_name == "ringmaster") options.bound = 1;
    const auto policy = exchange::make_policy(options);
    const exchange::Schedule schedule{.total_updates = kUpdates, .snapshot_every = kSnapshotEvery};
    exchange::MasterState state(updater, *history, {.workers = workers(), .schedule = schedule, .policy = policy.get()});
    exchange::run_master(state, transport, control, recorder);
    ASSERT_EQ(recorder.records.size(), kUpdates);
    const auto states = repeat(recorder.records, wire, activations);
    ASSERT_EQ(recorder.snapshots.size(), 3U);
    for (const auto& [update, values] : recorder.snapshots) EXPECT_EQ(values, states.at(update)) << "update " << update;
    EXPECT_NE(states.at(kUpdates), states.at(kUpdates - 1));
  }

  SmallNet net;
  Exec exec;
  engine::ParameterArena arena;
  engine::Updater updater{exec, arena, kOptimizer};
  std::optional<exchange::WeightHistory> history;
};

void run_master(const Ranks& ranks) {
  Master master(ranks.master);
  const bool on_gpu = ranks.master == "cuda";
  const auto peers = peers_of(master.net.layout(), ranks.wire);
  const auto transport = make_master_transport(peers, on_gpu ? &master.exec.stream() : nullptr, ranks.buffers);
  const std::string_view of_gpu = ranks.direct() ? "mpi (device buffers)" : "mpi (pinned host buffers)";
  EXPECT_EQ(transport->name(), on_gpu ? of_gpu : "mpi (host buffers)");
  master.run(*transport, ranks.wire, ranks.policy, ranks.activations);
}

class ExchangeOnGpu : public testing::TestWithParam<Ranks> {};

TEST_P(ExchangeOnGpu, UsesTheVersionsThatItReports) {
  let_mpi_take(GetParam().direct() ? MpiTakes::all_memory : MpiTakes::host_memory);
  world().rank() == 0 ? run_master(GetParam()) : run_worker(GetParam());
  let_mpi_take(MpiTakes::host_memory);
}

INSTANTIATE_TEST_SUITE_P(Messages, ExchangeOnGpu,
                         testing::Values(Ranks{"cuda", "cuda"}, Ranks{"cpu", "cuda"}, Ranks{"cuda", "cpu"},
                                         // Refuses and cancels.
                                         Ranks{"cuda", "cuda", Wire::float32, "ringmaster"},
                                         Ranks{"cuda", "cuda", Wire::bfloat16}, Ranks{"cpu", "cuda", Wire::bfloat16}));

Ranks direct(const char* master, const char* worker, const char* policy = "none", DType activations = DType::float32) {
  return {master, worker, Wire::float32, policy, DeviceBuffers::direct, activations};
}
INSTANTIATE_TEST_SUITE_P(FromMemoryOfGpus, ExchangeOnGpu,
                         testing::Values(direct("cuda", "cuda", "ringmaster", DType::bfloat16), direct("cpu", "cuda"),
                                         direct("cuda", "cpu")));

exchange::shared::SegmentLayout layout_on_gpus() { return {workers(), history_layout(SmallNet().layout()), 1, true}; }

TEST(MemoryOfGpus, IsReadInPlaceByOtherProcesses) {
  const exchange::shared::SegmentLayout layout = layout_on_gpus();
  const Device gpu{DeviceKind::cuda, world().rank() % 2};
  auto shared = exchange::shared::share_memory_of_gpus(world().rank(), layout, gpu, gather);
  if (world().rank() == 0) {
    Master master(to_string(gpu), shared.segment.versions());
    const auto transport = make_master_transport(shared.segment, &shared.others, &master.exec.stream());
    EXPECT_EQ(transport->name(), "shared memory of GPUs (CUDA IPC)");
    master.run(*transport, Wire::float32);
    EXPECT_EQ(transport->copied_bytes(), 0);
  } else {
    const int worker = world().rank() - 1;
    Computer computer(to_string(gpu), shared.segment.contribution(worker));
    const auto transport = make_worker_transport(shared.segment, worker, &shared.others, &computer.exec.stream());
    exchange::NullControl control;
    exchange::Worker(computer.source).run(*transport, control);
  }
  shared.mapped.clear();
  gather("");
}

/// The first value in memory of the GPU, as a stream sees it that nothing orders behind the others.
float seen(ConstSpan<float> values) {
  const ConstSpan<float> value = values.subspan(0, 1);
  const Stream other(value.device());
  const Buffer pinned(value.device(), sizeof(float), MemoryKind::pinned);
  copy(other, value, pinned.as<float>());
  other.synchronize();
  return pinned.as<float>().host()[0];
}

// Both sides in one process. The work is a copy that the stream has not begun when the host announces its result.
TEST(MemoryOfGpus, IsAnnouncedOnlyAfterTheWorkOfTheStream) {
  const Device gpu{DeviceKind::cuda};
  const exchange::shared::SegmentLayout layout{1, {16, 0, 1, 4}, 1, true};
  const SharedMemory memory = SharedMemory::anonymous("test", layout.bytes());
  auto segment = exchange::shared::Segment::create({memory.data(), memory.size_bytes()}, layout);
  const Buffer versions(gpu, layout.history.bytes()), contribution(gpu, layout.history.state() * sizeof(float));
  zero(versions.as<float>());
  zero(contribution.as<float>());
  segment.use({versions.as<float>(), {contribution.as<float>()}});
  exchange::WeightHistory history(segment.versions(), layout.history);
  const Stream updates(gpu), steps(gpu);
  const auto master = make_master_transport(segment, nullptr, &updates);
  const auto worker = make_worker_transport(segment, 0, nullptr, &steps);
  const Buffer result(gpu, layout.history.state() * sizeof(float), MemoryKind::pinned);
  std::ranges::fill(result.as<float>().host(), 3.0F);

  exchange::WritableVersion version = history.begin_next();
  copy(updates, result.as<float>(), version.state());
  history.publish(std::move(version));
  EXPECT_EQ(seen(history.current().weights()), 0.0F);
  master->send(0, {.lease_count = 1, .leases = {0}}, history.current());
  EXPECT_EQ(seen(worker->pull().weights), 3.0F);

  copy(steps, result.as<float>(), contribution.as<float>());
  EXPECT_EQ(seen(contribution.as<float>()), 0.0F);
  worker->push({.batch = 0}, contribution.as<float>());
  ASSERT_EQ(master->poll({}).size(), 1U);
  EXPECT_EQ(seen(contribution.as<float>()), 3.0F);
}

TEST(MemoryOfGpus, IsNotSharedIfARankCannotExportIt) {
  const exchange::shared::SegmentLayout layout = layout_on_gpus();
  const Device device = world().rank() == 1 ? Device{} : Device{DeviceKind::cuda};
  EXPECT_TRUE(throws<exchange::shared::NotShared>({"rank 1: memory: that of the CPU has no name"}, [&] {
    exchange::shared::share_memory_of_gpus(world().rank(), layout, device, gather);
  }));
}

/// Keeps what it is given, as it is at that moment.
class KeepingTransport final : public exchange::WorkerTransport {
 public:
  void offer(ConstSpan<float> values, std::size_t from) override {
    if (from < kGradients)
      offers.emplace_back(values.host().begin() + static_cast<std::ptrdiff_t>(from), values.host().begin() + kGradients);
  }
  void push(const exchange::GradientHeader& header, ConstSpan<float> values) override {
    cancelled = header.cancelled != 0;
    pushed.assign(values.host().begin(), values.host().end());
  }
  exchange::Delivery pull() override { return {}; }

  static constexpr std::size_t kGradients = 5;
  std::vector<std::vector<float>> offers;  // the gradients that were complete
  std::vector<float> pushed;
  bool cancelled = false;
};

TEST(StagedWorkerOnGpu, OffersWhatHasBeenCopiedAndPushesNothingIfCancelled) {
  const Device gpu{DeviceKind::cuda};
  const Stream steps(gpu);
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7};
  const Buffer contribution(gpu, values.size() * sizeof(float)), staged(gpu, values.size() * sizeof(float), MemoryKind::pinned);
  copy(steps, ConstSpan<float>(std::span(values)), contribution.as<float>());
  KeepingTransport transport;
  exchange::StagedWorker worker(transport, steps, staged.as<float>(), KeepingTransport::kGradients, 2);
  worker.push({}, contribution.as<float>());
  EXPECT_EQ(transport.offers, (std::vector<std::vector<float>>{{4, 5}, {2, 3, 4, 5}, {1, 2, 3, 4, 5}}));
  EXPECT_EQ(transport.pushed, values);
  worker.push({.cancelled = 1}, {});
  EXPECT_EQ(transport.offers.size(), 3U);
  EXPECT_TRUE(transport.pushed.empty());
  EXPECT_TRUE(transport.cancelled);
}

TEST(StagedWorkerOnGpu, RefusesOtherSizes) {
  const Device gpu{DeviceKind::cuda};
  const Stream steps(gpu);
  const Buffer contribution(gpu, 3 * sizeof(float)), staged(gpu, 7 * sizeof(float), MemoryKind::pinned);
  KeepingTransport transport;
  EXPECT_TRUE(throws<exchange::ExchangeError>({"8 gradients", "7 floats"},
                                              [&] { exchange::StagedWorker(transport, steps, staged.as<float>(), 8); }));
  exchange::StagedWorker worker(transport, steps, staged.as<float>(), 5);
  EXPECT_TRUE(throws<exchange::ExchangeError>({"3 floats", "expected 7"}, [&] { worker.push({}, contribution.as<float>()); }));
}

TEST(ChangedGradientOnGpu, HasTheBitsOfOneOnTheCpu) {
  constexpr std::size_t kWeights = 21, kSize = 26;
  const auto results = [](Device device) {
    std::vector<Buffer> operands;
    for (int i = 0; i < 3; ++i) {
      std::vector<float> values(kSize);
      for (std::size_t j = 0; j < kSize; ++j) values[j] = 0.37F * static_cast<float>(j) - static_cast<float>(i * i);
      operands.emplace_back(device, kSize * sizeof(float));
      copy(ConstSpan<float>(std::span(values)), operands.back().as<float>());
    }
    const auto operand = [&](std::size_t i) -> ConstSpan<float> { return operands[i].as<float>(); };
    exchange::ChangedGradient changed(device, kWeights, kSize, 1);
    std::vector<std::vector<float>> all;
    const auto keep = [&](ConstSpan<float> result) {
      EXPECT_EQ(result.device(), device);
      all.push_back(host_values(result));
    };
    keep(changed.scaled(operand(0), 0.3F));
    keep(changed.compensated(operand(0), 0.1F, operand(1), operand(2)));
    for (std::size_t i = 0; i < operands.size(); ++i) changed.add(operand(i));
    keep(changed.take_mean());
    return all;
  };
  EXPECT_EQ(results({DeviceKind::cuda}), results({}));
}

// A worker's memory cannot be mapped by the master, while that worker has mapped the master's.
TEST(MemoryOfGpus, IsNotSharedIfARankCannotMapIt) {
  int texts = 0;
  const auto with_a_wrong_name = [&](std::string_view text) {
    auto all = gather(text);
    if (all.back().find(' ') != std::string::npos && ++texts == 1) all.back() = "+0 0 0 0";  // its name
    return all;
  };
  const exchange::shared::SegmentLayout layout = layout_on_gpus();
  EXPECT_TRUE(throws<exchange::shared::NotShared>({"rank 0: guarded GPU", "of process 0 cannot be mapped"}, [&] {
    exchange::shared::share_memory_of_gpus(world().rank(), layout, {DeviceKind::cuda}, with_a_wrong_name);
  }));
}

}  // namespace
}  // namespace apam::support
