#include "apam/exchange/mpi/parts.h"

#include <algorithm>

#include "apam/exchange/error.h"

namespace apam::exchange::mpi {

std::vector<ShardRange> ranges_of(const MessageSizes& sizes) {
  const std::size_t statistics = sizes.contribution - sizes.weights;
  if (sizes.masters == 1) return {{0, sizes.weights, statistics}};  // of any size
  return split_state(sizes.weights, statistics, sizes.masters);
}

std::vector<Part> parts_of(const MessageSizes& sizes) {
  require<ExchangeError>(sizes.part > 0, "mpi: parts of {} floats, expected 1 or more", sizes.part);
  require<ExchangeError>(sizes.contribution >= sizes.weights, "mpi: a contribution of {} floats, expected {} weights or more",
                         sizes.contribution, sizes.weights);
  std::vector<Part> parts;
  const auto ranges = ranges_of(sizes);
  for (int master = sizes.masters - 1; master >= 0; --master) {
    const ShardRange& range = ranges[static_cast<std::size_t>(master)];
    for (std::size_t end = range.begin + range.weights; end > range.begin; end -= parts.back().count) {
      const std::size_t count = std::min(end - range.begin, sizes.part);
      parts.push_back({end - count, count, master});
    }
  }
  if (sizes.contribution > sizes.weights) {
    parts.push_back({sizes.weights, sizes.contribution - sizes.weights, sizes.masters - 1});
  }
  return parts;
}

std::vector<Part> parts_of(const MessageSizes& sizes, int master) {
  std::vector<Part> parts = parts_of(sizes);
  std::erase_if(parts, [&](const Part& part) { return part.master != master; });
  return parts;
}

std::size_t complete_parts(std::span<const Part> parts, const MessageSizes& sizes, std::size_t from) {
  const auto incomplete = [&](const Part& part) { return part.offset < from || part.offset >= sizes.weights; };
  return static_cast<std::size_t>(std::find_if(parts.begin(), parts.end(), incomplete) - parts.begin());
}

}  // namespace apam::exchange::mpi
