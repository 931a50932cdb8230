// Synchronous training under mpiexec with ranks on the guarded GPU: by way of host memory, and by NCCL, see guarded_group.cpp.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/all_reduce.h"
#include "apam/exchange/nccl/all_reduce.h"
#include "apam/exchange/staged_all_reduce.h"
#include "apam/exchange/synchronous.h"
#include "tests/kernels/cuda/guarded/computer.h"
#include "tests/kernels/cuda/guarded/guarded_gpu.h"
#include "tests/support/throws.h"

namespace apam::support {
namespace {

using exchange::test::world;

TEST(StagedAllReduceOnGpu, RefusesOtherMemory) {
  const Device gpu{DeviceKind::cuda};
  const Stream steps(gpu);
  const Buffer contribution(gpu, 32 * sizeof(float)), other(gpu, 64 * sizeof(float));
  const Buffer staged(gpu, 32 * sizeof(float), MemoryKind::pinned);
  const auto messages = exchange::mpi::make_all_reduce(world());
  EXPECT_TRUE(throws<exchange::ExchangeError>({"64 floats", "of 32"}, [&] {
    exchange::StagedAllReduce(*messages, steps, contribution.as<float>(), other.as<float>());
  }));
  exchange::StagedAllReduce all_reduce(*messages, steps, contribution.as<float>(), staged.as<float>());
  EXPECT_TRUE(throws<exchange::ExchangeError>({"64 floats", "of 32"}, [&] { all_reduce.start(other.as<float>()); }));
  EXPECT_TRUE(throws<exchange::ExchangeError>({"64 floats", "at most 32"}, [&] { all_reduce.broadcast(other.as<float>()); }));
}

std::unique_ptr<kernels::nccl::GpuGroup> join_gpus() {
  const std::string name = gather(world().rank() == 0 ? kernels::nccl::new_group() : "").front();
  return kernels::nccl::join_group(name, world().rank(), world().ranks(), {DeviceKind::cuda});
}

/// The states at snapshots of synchronous training on a device.
std::map<std::int64_t, std::vector<float>> train_together(std::string_view device, bool by_nccl = false) {
  Computer computer(device);
  engine::Updater updater(computer.exec, computer.arena, kOptimizer);
  const auto messages = exchange::mpi::make_all_reduce(world());
  const Span<float> contribution = computer.arena.outgoing();
  const Buffer pinned(computer.exec.device(), contribution.size_bytes(), MemoryKind::pinned);
  exchange::StagedAllReduce staged(*messages, computer.exec.stream(), contribution, pinned.as<float>());
  const auto gpus = by_nccl ? join_gpus() : nullptr;
  std::optional<exchange::nccl::AllReduce> nccl;
  if (by_nccl) nccl.emplace(*messages, *gpus, computer.exec.stream());
  exchange::AllReduce& by_messages = device == "cpu" ? *messages : staged;
  exchange::AllReduce& all_reduce = by_nccl ? *nccl : by_messages;
  Recorder recorder;
  const exchange::Schedule schedule{.total_updates = kUpdates, .snapshot_every = kSnapshotEvery};
  exchange::SynchronousTrainer trainer(all_reduce, updater, computer.source, schedule, recorder, 200);
  exchange::NullControl control;
  EXPECT_EQ(trainer.run(control).update, kUpdates);
  return recorder.snapshots;
}

TEST(SynchronousOnGpu, MakesTheUpdatesOfTheSameKernelsOnTheCpu) {
  const auto before = gpu_counts();
  const auto on_gpu = train_together("cuda");
  EXPECT_GT(gpu_counts().replays, before.replays);
  EXPECT_EQ(on_gpu.size(), 3U);
  EXPECT_EQ(on_gpu, train_together("cpu"));
}

// Sums of two values are the same in any order.
TEST(SynchronousOnGpu, MakesTheSameUpdatesByNccl) {
  const auto by_nccl = train_together("cuda", true);
  EXPECT_EQ(by_nccl.size(), 3U);
  if (world().ranks() == 2) {
    EXPECT_EQ(by_nccl, train_together("cpu"));
  }
}

TEST(NcclOnGpu, SumsOnTheStreamWithoutWaiting) {
  const Device gpu{DeviceKind::cuda};
  const Stream steps(gpu);
  const auto messages = exchange::mpi::make_all_reduce(world());
  const auto gpus = join_gpus();
  exchange::nccl::AllReduce all_reduce(*messages, *gpus, steps);
  EXPECT_EQ(all_reduce.name(), "nccl");
  constexpr std::size_t kCount = 5000;  // in parts
  const auto mine = static_cast<float>(world().rank() + 1);
  const std::vector<float> values(kCount, mine), others(kCount, 10 * mine);
  const Buffer a(gpu, kCount * sizeof(float)), b(gpu, kCount * sizeof(float));
  copy(steps, ConstSpan<float>(std::span(values)), a.as<float>());
  copy(steps, ConstSpan<float>(std::span(others)), b.as<float>());
  const auto before = gpu_counts();
  all_reduce.start(a.as<float>());
  all_reduce.progress();
  all_reduce.start_scaled(b.as<float>(), 0.5F);
  all_reduce.finish();
  EXPECT_EQ(gpu_counts().waits, before.waits);
  const auto n = static_cast<float>(world().ranks());
  EXPECT_EQ(host_values(all_reduce.sums(a.as<float>())), std::vector<float>(kCount, n * (n + 1) / 2));
  EXPECT_EQ(host_values(all_reduce.sums(b.as<float>())), std::vector<float>(kCount, 5 * n * (n + 1) / 2));
  copy(steps, ConstSpan<float>(std::span(values)), a.as<float>());
  all_reduce.broadcast(a.as<float>());
  EXPECT_EQ(host_values(a.as<float>()), std::vector<float>(kCount, 1));
  EXPECT_EQ(all_reduce.gather(7 + static_cast<std::uint64_t>(world().rank())).back(), 6 + static_cast<std::uint64_t>(n));
}

}  // namespace
}  // namespace apam::support
