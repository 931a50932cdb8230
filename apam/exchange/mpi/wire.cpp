#include "apam/exchange/mpi/wire.h"

#include <algorithm>

namespace apam::exchange::mpi {

void round_values(std::span<const float> values, std::span<BFloat16> rounded) {
  std::transform(values.begin(), values.end(), rounded.begin(), [](float value) { return BFloat16(value); });
}

void widen_values(std::span<const BFloat16> rounded, std::span<float> values) {
  std::copy(rounded.begin(), rounded.end(), values.begin());
}

}  // namespace apam::exchange::mpi
