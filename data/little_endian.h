// Little-endian integers in file headers, on any host.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace apam::data {

/// The integer in the first sizeof(T) bytes of `bytes`.
template <std::unsigned_integral T>
T little_endian(const std::uint8_t* bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | static_cast<T>(T{bytes[i]} << (8 * i)));
  return value;
}

}  // namespace apam::data
