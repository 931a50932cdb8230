#include "apam/exchange/arrival_sum.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace apam::exchange {
namespace {

/// Elements [begin, end), each value times the weight of its contribution; no weights: times 1.
void add_values(std::span<const float* const> values, std::span<const float> weights, Range range, float* sum) {
  constexpr std::int64_t kBlock = 2048;  // of the sum, in the first-level cache
  for (std::int64_t from = range.begin; from < range.end; from += kBlock) {
    const std::int64_t to = std::min(from + kBlock, range.end);
    for (std::size_t q = 0; q < values.size(); ++q) {
      const float* const more = values[q];
      const float weight = weights.empty() ? 1.0F : weights[q];
      for (std::int64_t i = from; i < to; ++i) {
        const float term = more[i] * weight;
        sum[i] = q == 0 ? term : sum[i] + term;
      }
    }
  }
}

}  // namespace

Range part_of_sum(std::size_t floats, std::size_t i, int first) {
  constexpr std::int64_t kLineFloats = 16;
  return split(static_cast<std::int64_t>(floats), static_cast<std::int64_t>(i), first, kLineFloats);
}

void sum_arrivals(std::span<const EarlyGradient> arrivals, std::span<const float* const> values, Range part,
                  std::size_t gradients, float* sum) {
  std::int64_t rows = 0;
  for (const EarlyGradient& arrival : arrivals) rows += arrival.header.rows;
  std::vector<float> weights;
  for (const EarlyGradient& arrival : arrivals) {
    weights.push_back(static_cast<float>(arrival.header.rows / static_cast<double>(rows)));
  }
  const std::int64_t length = part.end - part.begin;
  const std::int64_t statistics = std::clamp<std::int64_t>(static_cast<std::int64_t>(gradients) - part.begin, 0, length);
  add_values(values, {}, {0, statistics}, sum);
  add_values(values, weights, {statistics, length}, sum);
}

}  // namespace apam::exchange
