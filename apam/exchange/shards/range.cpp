#include "apam/exchange/shards/range.h"

#include <algorithm>

#include "kernels/runtime/parallel.h"

namespace apam::exchange {
namespace {

constexpr std::size_t kLine = 16;  // floats

}  // namespace

std::vector<ShardRange> split_state(std::size_t weights, std::size_t statistics, int shards) {
  require<InputError>(shards >= 1, "shards: {} masters, expected 1 or more", shards);
  require<InputError>(weights % kLine == 0 && statistics % kLine == 0,
                      "shards: {} weights and {} statistics, expected multiples of {}", weights, statistics, kLine);
  require<InputError>(shards == 1 || static_cast<std::size_t>(shards) <= weights / kLine,
                      "shards: {} masters for {} weights, expected at least {} weights each", shards, weights, kLine);
  std::vector<ShardRange> ranges;
  for (int shard = 0; shard < shards; ++shard) {
    const Range part = split(static_cast<std::int64_t>(weights), shard, shards, kLine);
    ranges.push_back({static_cast<std::size_t>(part.begin), static_cast<std::size_t>(part.end - part.begin), 0});
  }
  ranges.back().statistics = statistics;
  return ranges;
}

engine::ParameterLayout layout_of(const engine::ParameterLayout& model, const ShardRange& range) {
  engine::ParameterLayout layout;
  const std::size_t end = range.begin + range.weights;
  for (const auto& parameter : model.parameters()) {
    // Windows begin at multiples of 16, and so do ranges: padding stays with the values before it.
    const std::size_t from = std::max(parameter.offset, range.begin);
    const std::size_t to = std::min(parameter.offset + parameter.shape.size(), end);
    if (from < to) layout.add(parameter.name, engine::Shape{static_cast<int>(to - from)}, parameter.initial);
  }
  if (range.statistics == 0) return layout;
  for (const auto& one : model.statistics()) layout.add_statistics(one.name, one.channels);
  return layout;
}

}  // namespace apam::exchange
