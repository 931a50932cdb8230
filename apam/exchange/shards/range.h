// The ranges of sharded masters. Shard s of M owns a contiguous range of the state and the optimizer's moments of it:
//
//   state  = [ weights | running statistics ]
//   shard     0 | 1 | ... | M-1
//
// The weights are cut at multiples of 16 floats (64 bytes) into nearly equal parts. All running statistics, which are behind
// the weights, belong to the last shard. A contribution is cut in the same way.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/parameters.h"
#include "kernels/runtime/span.h"

namespace apam::exchange {

struct ShardRange {
  std::size_t begin = 0;       ///< in floats from the start of the state
  std::size_t weights = 0;     ///< floats
  std::size_t statistics = 0;  ///< floats behind them; 0 except on the last shard

  std::size_t size() const { return weights + statistics; }
  std::size_t end() const { return begin + size(); }

  /// Of a state or a contribution.
  template <class T>
  Span<T> of(Span<T> whole) const {
    return whole.subspan(begin, size());
  }

  friend bool operator==(const ShardRange&, const ShardRange&) = default;
};

/// By shard. Throws InputError for fewer than 1 shard, sizes that are no multiples of 16, and more shards than 16 floats of
/// weights each.
std::vector<ShardRange> split_state(std::size_t weights, std::size_t statistics, int shards);

/// The model's parameters and statistics in the range, for an Updater over it: the names of the model, with the shape of a
/// vector and offsets from the start of the range.
engine::ParameterLayout layout_of(const engine::ParameterLayout& model, const ShardRange& range);

}  // namespace apam::exchange
