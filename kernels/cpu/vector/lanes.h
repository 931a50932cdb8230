// Loops over contiguous elements by vectors; the last vector is partial if the count is not a multiple of the width.
#pragma once

#include <cstdint>

namespace apam::kernels::cpu {

/// Loads and stores a whole vector, or its first few lanes, of float or of bfloat16 (T = Bits16).
template <class V>
struct Whole {
  template <class T>
  typename V::Float load(const T* from) const {
    return V::load(from);
  }
  template <class T>
  void store(T* to, typename V::Float value) const {
    V::store(to, value);
  }
};
template <class V>
struct Part {
  int lanes;
  template <class T>
  typename V::Float load(const T* from) const {
    return V::load(from, lanes);
  }
  template <class T>
  void store(T* to, typename V::Float value) const {
    V::store(to, value, lanes);
  }
};

/// Calls step(offset, lanes) for each vector of `count` elements, with the same code for whole and partial vectors.
template <class V, class Step>
inline void for_each_vector(std::int64_t count, Step step) {
  std::int64_t i = 0;
  for (; i + V::width <= count; i += V::width) step(i, Whole<V>{});
  if (i < count) step(i, Part<V>{static_cast<int>(count - i)});
}

}  // namespace apam::kernels::cpu
