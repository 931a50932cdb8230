// Elements of operands on the device: float or BFloat16 in memory, float in registers. Several neighbours are accessed together
// as a Pack, which is one instruction of up to 16 bytes if the pack is aligned to its size.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/runtime/dtype.h"

#include <simt/macros.h>
#include <simt/ptx.h>

namespace apam::kernels::cuda {

template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  static_assert(sizeof(T) * count <= 16, "the largest access");
  T values[count];
};

template <int count, class T>
DEVICE Pack<T, count> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, count>*>(from);
}
template <int count, class T>
DEVICE void store_pack(T* to, const Pack<T, count>& pack) {
  *reinterpret_cast<Pack<T, count>*>(to) = pack;
}

DEVICE float to_float(float value) { return value; }
DEVICE float to_float(BFloat16 value) { return value; }

/// A pack that waits in registers for its use. Its elements are widened one by one: those of a Pack would take a register each,
/// even if they have 16 bits.
template <class T, int count>
class LoadedPack {
 public:
  DEVICE void load(const T* from) { pack_ = load_pack<count>(from); }
  DEVICE float operator[](int e) const { return to_float(pack_.values[e]); }

 private:
  Pack<T, count> pack_{};
};

template <int count>
requires(count % 2 == 0) class LoadedPack<BFloat16, count> {
 public:
  DEVICE void load(const BFloat16* from) {
    words_ = std::bit_cast<Words>(*reinterpret_cast<const Pack<BFloat16, count>*>(from));
  }
  DEVICE float operator[](int e) const {
    const std::uint32_t word = words_.values[e / 2];  // the element of lower address is the lower half
    return std::bit_cast<float>(e % 2 == 0 ? word << 16U : word & 0xFFFF0000U);
  }

 private:
  using Words = Pack<std::uint32_t, count / 2>;
  Words words_{};
};

/// A result as it is stored: rounded once.
template <class T>
struct Rounded;
template <>
struct Rounded<float> {
  DEVICE static float of(float value) { return value; }
};
template <>
struct Rounded<BFloat16> {
  DEVICE static BFloat16 of(float value) { return to_bfloat16(value); }
};

/// Stores a result, or adds it to the old value. The sum is rounded once.
template <class T>
DEVICE void write(T& to, float value, bool add) {
  to = Rounded<T>::of(add ? to_float(to) + value : value);
}

/// max(0, value) that keeps NaN.
DEVICE float rectified(float value) { return value <= 0 ? 0 : value; }

}  // namespace apam::kernels::cuda
