// Values of any device on the host.
#pragma once

#include <vector>

#include "kernels/runtime/buffer.h"

namespace apam::exchange {

/// A copy, after all earlier work of the device. Blocks.
inline std::vector<float> host_values(ConstSpan<float> values) {
  std::vector<float> host(values.size());
  copy(values, Span<float>(std::span(host)));
  return host;
}

}  // namespace apam::exchange
