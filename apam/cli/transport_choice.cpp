#include "apam/cli/transport_choice.h"

#include <algorithm>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/device_buffers.h"
#include "apam/exchange/nccl/all_reduce.h"
#include "kernels/runtime/host_name.h"

namespace apam::cli {
namespace {

using exchange::shared::NotShared;

bool is_cpu(std::string_view device) { return device == to_string(Device{}); }

SharedByRanks share(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                    training::RunPlan& plan) {
  require<NotShared>(options.master_order == "sequenced", "--master-order {} is for messages", options.master_order);
  const auto gather = [&](std::string_view text) { return all_gather_strings(environment, text); };
  const auto devices = gather(to_string(plan.exec.device));
  const bool on_gpus = options.exchange == "async" && std::ranges::none_of(devices, is_cpu);
  for (std::size_t rank = 0; rank < devices.size() && !on_gpus; ++rank) {
    require<NotShared>(is_cpu(devices[rank]), "rank {}: computes on {}, shared memory is for {}", rank, devices[rank],
                       options.exchange == "async" ? "ranks that are all on cpu or all on GPUs" : "ranks on cpu");
  }
  plan.transport = on_gpus ? exchange::kMemoryOfGpus : "shared memory";
  SharedByRanks memory;
  if (options.sync_backup > 0) {
    const int first = environment.ranks() - static_cast<int>(options.sync_backup);
    const exchange::shared::BackupLayout layout{environment.ranks(), first, plan.history.state(), plan.history.weights};
    memory.backup = exchange::shared::share_memory(environment.rank(), layout, gather);
    plan.shared_bytes = layout.bytes();
  } else if (options.exchange == "sync") {
    const exchange::shared::GroupLayout layout{environment.ranks(), plan.history.state()};
    memory.sync = exchange::shared::share_memory(environment.rank(), layout, gather);
    plan.shared_bytes = layout.bytes();
  } else {
    const exchange::Roles& roles = plan.budget.roles;
    const exchange::shared::SegmentLayout layout{roles.workers, plan.history, roles.masters, on_gpus};
    memory.async = on_gpus ? exchange::shared::share_memory_of_gpus(environment.rank(), layout, plan.exec.device, gather)
                           : exchange::shared::share_memory(environment.rank(), layout, roles.colocated, gather);
    plan.shared_bytes = layout.bytes() + layout.gpu_bytes();
  }
  return memory;
}

std::unique_ptr<kernels::nccl::GpuGroup> join_gpus(const exchange::mpi::Environment& environment, training::RunPlan& plan) {
  const Device gpu = plan.exec.device;
  const auto gather = [&](std::string_view text) { return all_gather_strings(environment, text); };
  // Asked for before any rank joins: one that does so waits for the others.
  const auto absences = gather(gpu.kind == DeviceKind::cuda ? kernels::nccl::absence() : "computes on cpu, NCCL is for GPUs");
  for (std::size_t rank = 0; rank < absences.size(); ++rank) {
    require<NoTransport>(absences[rank].empty(), "rank {}: {}", rank, absences[rank]);
  }
  const auto gpus = gather(fmt::format("{} of {}", device_runtime(gpu.kind).identity(gpu.index), host_name()));
  for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
    const auto first = static_cast<std::size_t>(std::ranges::find(gpus, gpus[rank]) - gpus.begin());
    require<NoTransport>(first == rank, "ranks {} and {} are both on GPU {}, NCCL takes one rank per GPU", first, rank,
                         gpus[rank]);
  }
  plan.transport = exchange::nccl::AllReduce::kName;
  const std::string name = gather(environment.rank() == 0 ? kernels::nccl::new_group() : "").front();
  return kernels::nccl::join_group(name, environment.rank(), environment.ranks(), gpu);
}

/// Whether messages of asynchronous ranks on GPUs are in memory of the GPU.
void choose_device_buffers(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                           training::RunPlan& plan) {
  if (std::ranges::all_of(all_gather_strings(environment, to_string(plan.exec.device)), is_cpu)) return;
  plan.no_device_buffers = options.wire == "float32" ? exchange::mpi::absence_of_device_buffers(environment, plan.exec.device)
                                                     : "--wire bf16 rounds values in host memory";
  plan.device_buffers = plan.no_device_buffers.empty();
}

}  // namespace

SharedByRanks choose_transport(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                               training::RunPlan& plan) {
  if (options.transport == "nccl") {
    SharedByRanks shared;
    shared.gpus = join_gpus(environment, plan);
    return shared;
  }
  if (options.transport != "mpi") {
    try {
      return share(environment, options, plan);
    } catch (const NotShared& reason) {
      if (options.transport == "shared") throw NoTransport(reason.what());
      plan.no_shared_memory = reason.what();
    }
  }
  if (options.exchange == "async") choose_device_buffers(environment, options, plan);
  const auto of_gpu = plan.device_buffers ? exchange::kDeviceMessages : exchange::kPinnedMessages;
  plan.transport = plan.exec.device.kind == DeviceKind::cuda ? of_gpu : exchange::kHostMessages;
  return {};
}

}  // namespace apam::cli
