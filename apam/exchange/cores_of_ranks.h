// How the ranks of a training divide the CPUs of their hosts. A CPU that k computing ranks of a host may run on gives each of
// them 1/k:
//
//   threads(r) = max(1, floor(sum over CPUs c of r's mask of 1 / (computing ranks of r's host whose mask has c)))
//
// So ranks of one mask divide it evenly, ranks that a launcher has bound to masks of their own keep them whole, and ranks whose
// masks overlap divide what they share. Where a quota is below the sum S of a host's threads, each gets
// max(1, floor(threads(r) * ceil(quota) / S)); none gets more than its OpenMP grants. A rank that does not compute gets what
// the others leave of its mask and the quota, at least 1.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/cores.h"

namespace apam::exchange {

/// What one rank knows of itself.
struct RankCores {
  std::string host;
  Cores cores;
  bool computes = true;

  /// One line; it travels between ranks.
  std::string to_text() const;
  /// Throws InputError for any other text.
  static RankCores from_text(std::string_view text);
};

/// The threads of each rank, by rank; all at least 1. `asked` above 0: that many for each rank that computes. The quota of a
/// host is the smallest that a rank on it tells.
std::vector<int> threads_of_ranks(std::span<const RankCores> ranks, int asked = 0);

}  // namespace apam::exchange
