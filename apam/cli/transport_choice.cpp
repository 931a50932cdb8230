#include "apam/cli/transport_choice.h"

#include "apam/exchange/mpi/all_gather_strings.h"

namespace apam::cli {
namespace {

using exchange::shared::NotShared;
using exchange::shared::SharedRank;

SharedRank share(const exchange::mpi::Environment& environment, const training::RunPlan& plan) {
  const auto gather = [&](std::string_view text) { return all_gather_strings(environment, text); };
  const auto devices = gather(to_string(plan.exec.device));
  for (std::size_t rank = 0; rank < devices.size(); ++rank) {
    require<NotShared>(devices[rank] == to_string(Device{}), "rank {}: computes on {}, shared memory is for {}", rank,
                       devices[rank], to_string(Device{}));
  }
  return exchange::shared::share_memory(environment.rank(), {environment.ranks() - 1, plan.history}, gather);
}

}  // namespace

std::optional<SharedRank> choose_transport(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                                           training::RunPlan& plan) {
  plan.transport = "mpi (host buffers)";
  if (options.transport == "mpi") return {};
  try {
    SharedRank rank = share(environment, plan);
    plan.transport = "shared memory";
    plan.shared_bytes = rank.segment.layout().bytes();
    return rank;
  } catch (const NotShared& reason) {
    if (options.transport == "shared") throw;
    plan.no_shared_memory = reason.what();
    return {};
  }
}

}  // namespace apam::cli
