// Checksums, to compare the replicas of synchronous training.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "kernels/runtime/fnv1a.h"

namespace apam::exchange {

/// FNV-1a over the bits of the values.
inline std::uint64_t checksum(std::span<const float> values) {
  Fnv1a hash;
  for (const float value : values) hash.add(std::bit_cast<std::uint32_t>(value));
  return hash.value();
}

}  // namespace apam::exchange
