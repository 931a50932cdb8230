// A float is NaN or infinite if all its exponent bits are set. The loop has no early exit, so that it vectorizes.
#include "kernels/runtime/finite.h"

#include <atomic>
#include <bit>
#include <cstdint>

#include "kernels/runtime/parallel.h"

namespace apam {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

bool is_finite(float value) {
  constexpr std::uint32_t kExponent = 0x7f800000;
  return (std::bit_cast<std::uint32_t>(value) & kExponent) != kExponent;
}

bool all_finite(const float* values, std::int64_t count) {
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) found |= is_finite(values[i]) ? 0U : 1U;
  return found == 0;
}

}  // namespace

std::int64_t first_non_finite(const float* values, std::int64_t count) {
  if (all_finite(values, count)) return count;
  std::int64_t i = 0;
  while (is_finite(values[i])) ++i;
  return i;
}

bool all_finite(Exec& exec, ConstSpan<float> values) {
  const auto host = values.host();
  std::atomic<bool> finite = true;
  parallel_for(exec.threads(), static_cast<std::int64_t>(host.size()), kGrain, [&](std::int64_t begin, std::int64_t end) {
    if (!all_finite(host.data() + begin, end - begin)) finite = false;
  });
  return finite;
}

}  // namespace apam
