// How the ranks of a training divide the CPUs of their hosts. A CPU that k computing ranks of a host may run on gives each of
// them 1/k:
//
//   threads(r) = max(1, floor(sum over CPUs c of r's mask of 1 / (computing ranks of r's host whose mask has c)))
//
// Ranks with the same mask divide it evenly, ranks that a launcher has bound to disjoint masks keep them whole, and ranks with
// overlapping masks divide the overlap. If a quota is below the sum S of a host's threads, each gets
// max(1, floor(threads(r) * ceil(quota) / S)); none gets more than its OpenMP limit. A rank that does not compute gets the rest
// of its mask and of the quota, at least 1. A rank that computes may request another number than its part.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/cores.h"

namespace apam::exchange {

/// The cores that one rank sees, and its part in the division.
struct RankCores {
  std::string host;
  Cores cores;
  bool computes = true;
  int requested = 0;  ///< threads, if it computes; 0: what the division gives

  /// One line, for transfer between ranks.
  std::string to_text() const;
  /// Throws InputError for any other text.
  static RankCores from_text(std::string_view text);
};

/// The threads of each rank, by rank; all at least 1. The quota of a host is the minimum over its ranks.
std::vector<int> threads_of_ranks(std::span<const RankCores> ranks);

}  // namespace apam::exchange
