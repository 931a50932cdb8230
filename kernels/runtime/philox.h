// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC'11). A number is a pure function of (seed, purpose, stream, index), so results do not depend on threads or order.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace apam {

/// Four 32-bit words for a 128-bit counter under a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32U) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32U) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Purpose of a stream. Streams of different purposes never overlap.
enum class Purpose : std::uint32_t {
  initial_weights = 1,
  shuffle = 2,
  augmentation = 3,
  synthetic_data = 4,
  sample = 5,  ///< operands of kernels, for timing and for tests
  delay = 6
};

/// The stream of random numbers for (seed, purpose, stream), with random access by index. It has 2^32 blocks of four words.
class Random {
 public:
  constexpr Random(std::uint64_t seed, Purpose purpose, std::uint64_t stream = 0)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)},
        purpose_(static_cast<std::uint32_t>(purpose)),
        stream_(stream) {}

  constexpr std::array<std::uint32_t, 4> words(std::uint32_t index) const {
    return philox4x32({index, static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32U), purpose_}, key_);
  }

  constexpr std::uint32_t word(std::uint64_t index) const { return words(static_cast<std::uint32_t>(index / 4))[index % 4]; }

  /// Uniform in [0, 1), a multiple of 2^-24: exact in float.
  constexpr float uniform(std::uint64_t index) const { return static_cast<float>(word(index) >> 8U) * 0x1p-24F; }

  /// Uniform in 0 .. bound-1 (bound > 0), by multiplication; the bias is below bound / 2^32.
  constexpr std::uint32_t below(std::uint32_t bound, std::uint64_t index) const {
    return static_cast<std::uint32_t>((std::uint64_t{word(index)} * bound) >> 32U);
  }

  /// Standard normal by Box-Muller from block `index` / 2.
  float normal(std::uint64_t index) const {
    const auto w = words(static_cast<std::uint32_t>(index / 2));
    const double u = (static_cast<double>(w[0]) + 1.0) * 0x1p-32;  // in (0, 1]
    const double angle = 2.0 * std::numbers::pi * (static_cast<double>(w[1]) * 0x1p-32);
    const double radius = std::sqrt(-2.0 * std::log(u));
    return static_cast<float>(radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle)));
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint32_t purpose_;
  std::uint64_t stream_;
};

}  // namespace apam
