// A float is NaN or infinite if all its exponent bits are set. The loop has no early exit, so that it vectorizes.
#include "kernels/runtime/finite.h"

#include <atomic>
#include <bit>
#include <cstdint>

#include "kernels/runtime/parallel.h"

namespace apam {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

bool all_finite(const float* values, std::int64_t count) {
  constexpr std::uint32_t kExponent = 0x7f800000;
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    found |= (std::bit_cast<std::uint32_t>(values[i]) & kExponent) == kExponent ? 1U : 0U;
  }
  return found == 0;
}

}  // namespace

bool all_finite(Exec& exec, ConstSpan<float> values) {
  const auto host = values.host();
  std::atomic<bool> finite = true;
  parallel_for(exec.threads(), static_cast<std::int64_t>(host.size()), kGrain, [&](std::int64_t begin, std::int64_t end) {
    if (!all_finite(host.data() + begin, end - begin)) finite = false;
  });
  return finite;
}

}  // namespace apam
