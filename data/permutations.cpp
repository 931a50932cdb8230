#include "data/permutations.h"

#include <array>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/runtime/allocating.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/philox.h"

namespace apam::data {

Permutation shuffled(std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  constexpr std::int64_t kMaxImages = std::numeric_limits<std::int32_t>::max();
  require<ShapeError>(n >= 0 && n <= kMaxImages, "shuffle: {} images, expected 0 to {}", n, kMaxImages);
  const Random random(seed, Purpose::shuffle, static_cast<std::uint64_t>(epoch));
  Permutation order = allocating([&] { return Permutation(static_cast<std::size_t>(n)); },
                                 "shuffle: not enough memory for the order of {} images, {} bytes", n, n * 4);
  std::iota(order.begin(), order.end(), 0);
  std::array<std::uint32_t, 4> words{};
  for (auto i = static_cast<std::uint32_t>(n); i-- > 1;) {      // word i selects the swap partner of i; each
    if (i % 4 == 3 || i + 1 == n) words = random.words(i / 4);  // block of four words is computed once
    const auto other = static_cast<std::size_t>((words[i % 4] * (std::uint64_t{i} + 1)) >> 32U);
    std::swap(order[i], order[other]);
  }
  return order;
}

std::shared_ptr<const Permutation> Permutations::of(std::int64_t epoch) {
  const std::lock_guard lock(mutex_);  // held while computing, to compute each once
  if (recent_.epoch != epoch) {
    std::swap(recent_, older_);
    if (recent_.epoch != epoch) recent_ = {epoch, std::make_shared<const Permutation>(shuffled(n_, seed_, epoch))};
  }
  return recent_.order;
}

}  // namespace apam::data
