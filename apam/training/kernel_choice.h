// Chooses all kernels of a training before it begins, so that timing and training do not disturb each other. Of the ranks of a
// host, one times at a time. Ranks with the same work adopt its decisions, so that they compute the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "apam/training/net_gradient_source.h"
#include "engine/optim/updater.h"

namespace apam::training {

/// What a rank computes in a training.
struct KernelWork {
  Exec& exec;
  engine::Updater* updater = nullptr;   ///< null: applies no updates
  NetGradientSource* source = nullptr;  ///< null: computes no gradients
  std::set<std::int64_t> rows{};        ///< sizes of the batches, or shares of batches, that it computes
  int contributions = 1;                ///< that it applies at once, at most

  /// Two ranks of a host with the same text need the same decisions.
  std::string describe() const;
};

/// The sizes of part `part` of `parts` over all batches.
std::set<std::int64_t> batch_sizes(const data::Batches& batches, std::int64_t part, std::int64_t parts);

/// Chooses every kernel of the work. Calls `before_each` before each choice; an exception from it ends the choice.
void choose_kernels(const KernelWork& work, const std::function<void()>& before_each);

/// A rank's host, and its KernelWork::describe().
struct RankWork {
  std::string host, work;
};

/// The turn in which each rank chooses its kernels, by rank. For each host and work, the first rank has its own turn among
/// those of its host, 0, 1, ...; all other ranks share the turn after the last of these over all hosts.
std::vector<int> turns_of_ranks(std::span<const RankWork> ranks);

}  // namespace apam::training
