// The order of an epoch: a permutation of 0 .. n-1 that is a pure function of (seed, epoch).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace apam::data {

using Permutation = std::vector<std::int32_t>;

/// Fisher-Yates with numbers from Philox (Purpose::shuffle, stream = epoch): for i = n-1 .. 1, swap i with one of 0 .. i.
Permutation shuffled(std::int64_t n, std::uint64_t seed, std::int64_t epoch);

/// Cache of the permutations of the two most recently used epochs: prefetching crosses the end of an epoch. A permutation is
/// computed by the first thread that requests it; the others wait.
class Permutations {
 public:
  Permutations(std::int64_t n, std::uint64_t seed) : n_(n), seed_(seed) {}

  /// Thread-safe.
  std::shared_ptr<const Permutation> of(std::int64_t epoch);

 private:
  struct Entry {
    std::int64_t epoch = -1;
    std::shared_ptr<const Permutation> order;
  };

  std::int64_t n_;
  std::uint64_t seed_;
  std::mutex mutex_;
  Entry recent_;  // most recently used
  Entry older_;
};

}  // namespace apam::data
