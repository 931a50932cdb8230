#include "apam/exchange/mpi/parts.h"

#include <algorithm>

#include "apam/exchange/error.h"

namespace apam::exchange::mpi {

std::vector<Part> parts_of(const MessageSizes& sizes) {
  require<ExchangeError>(sizes.part > 0, "mpi: parts of {} floats, expected 1 or more", sizes.part);
  require<ExchangeError>(sizes.contribution >= sizes.weights, "mpi: a contribution of {} floats, expected {} weights or more",
                         sizes.contribution, sizes.weights);
  std::vector<Part> parts;
  for (std::size_t end = sizes.weights; end > 0; end -= parts.back().count) {
    const std::size_t count = std::min(end, sizes.part);
    parts.push_back({end - count, count});
  }
  if (sizes.contribution > sizes.weights) parts.push_back({sizes.weights, sizes.contribution - sizes.weights});
  return parts;
}

std::size_t complete_parts(std::span<const Part> parts, const MessageSizes& sizes, std::size_t from) {
  const auto incomplete = [&](const Part& part) { return part.offset < from || part.offset >= sizes.weights; };
  return static_cast<std::size_t>(std::find_if(parts.begin(), parts.end(), incomplete) - parts.begin());
}

}  // namespace apam::exchange::mpi
