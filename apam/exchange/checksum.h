// Checksums, to compare the replicas of synchronous training.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "kernels/runtime/fnv1a.h"
#include "kernels/runtime/host_values.h"

namespace apam::exchange {

/// FNV-1a over the bits of the values, which may be on a GPU.
inline std::uint64_t checksum(ConstSpan<float> values) {
  Fnv1a hash;
  const auto add = [&hash](const auto& host) {
    for (const float value : host) hash.add(std::bit_cast<std::uint32_t>(value));
  };
  values.device().kind == DeviceKind::cpu ? add(values.host()) : add(host_values(values));
  return hash.value();
}

}  // namespace apam::exchange
