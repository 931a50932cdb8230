#include "apam/cli/transport_choice.h"

#include "apam/exchange/mpi/all_gather_strings.h"

namespace apam::cli {
namespace {

using exchange::shared::NotShared;

RanksMemory share(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                  training::RunPlan& plan) {
  require<NotShared>(options.master_order == "sequenced", "--master-order {} is for messages", options.master_order);
  const auto gather = [&](std::string_view text) { return all_gather_strings(environment, text); };
  const auto devices = gather(to_string(plan.exec.device));
  for (std::size_t rank = 0; rank < devices.size(); ++rank) {
    require<NotShared>(devices[rank] == to_string(Device{}), "rank {}: computes on {}, shared memory is for {}", rank,
                       devices[rank], to_string(Device{}));
  }
  RanksMemory memory;
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
    const exchange::shared::SegmentLayout layout{roles.workers, plan.history, roles.masters};
    memory.async = exchange::shared::share_memory(environment.rank(), layout, roles.colocated, gather);
    plan.shared_bytes = layout.bytes();
  }
  plan.transport = "shared memory";
  return memory;
}

}  // namespace

RanksMemory choose_transport(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                             training::RunPlan& plan) {
  plan.transport = plan.exec.device.kind == DeviceKind::cuda ? "mpi (pinned host buffers)" : "mpi (host buffers)";
  if (options.transport == "mpi") return {};
  try {
    return share(environment, options, plan);
  } catch (const NotShared& reason) {
    if (options.transport == "shared") throw;
    plan.no_shared_memory = reason.what();
    return {};
  }
}

}  // namespace apam::cli
