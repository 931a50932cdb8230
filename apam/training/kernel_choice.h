// All kernels of a training are chosen before it begins, so that no timing disturbs it or is disturbed by it. Of the ranks of
// a host one times at a time; those with the same work adopt what it decided, so that they compute alike.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "apam/training/net_gradient_source.h"
#include "apam/cli/interruption.h"
#include "apam/exchange/updater.h"

namespace apam::training {

/// What a rank computes in a training.
struct KernelWork {
  Exec& exec;
  exchange::Updater* updater = nullptr;  ///< null: applies no updates
  NetGradientSource* source = nullptr;   ///< null: computes no gradients
  std::set<std::int64_t> rows{};         ///< sizes of the batches, or shares of them, that it computes

  /// Two ranks of a host with the same text need the same decisions.
  std::string describe() const;
};

/// The sizes of part `part` of `parts` of all batches.
std::set<std::int64_t> batch_sizes(const data::Batches& batches, std::int64_t part, std::int64_t parts);

/// Chooses every kernel of the work. Throws Interrupted when a signal has come.
void choose_kernels(const KernelWork& work, const Interruption& interruption);

/// A rank's host, and its work as text.
struct RankWork {
  std::string host, work;
};

/// In which turn each rank chooses its kernels, by rank: of each host and work the first rank has a turn of its own among
/// those of its host, 0, 1, ...; all others come last, in the turn that follows the last of these on any host.
std::vector<int> turns_of_ranks(std::span<const RankWork> ranks);

}  // namespace apam::training
