// Loops over contiguous floats by vectors; the last vector is partial if the count is not a multiple of the width.
#pragma once

#include <cstdint>

namespace apam::kernels::cpu {

/// Loads and stores a whole vector, or its first few lanes.
template <class V>
struct Whole {
  typename V::Float load(const float* from) const { return V::load(from); }
  void store(float* to, typename V::Float value) const { V::store(to, value); }
};
template <class V>
struct Part {
  int lanes;
  typename V::Float load(const float* from) const { return V::load(from, lanes); }
  void store(float* to, typename V::Float value) const { V::store(to, value, lanes); }
};

/// Calls step(offset, lanes) for each vector of `count` floats, with the same code for whole and partial vectors.
template <class V, class Step>
inline void for_each_vector(std::int64_t count, Step step) {
  std::int64_t i = 0;
  for (; i + V::width <= count; i += V::width) step(i, Whole<V>{});
  if (i < count) step(i, Part<V>{static_cast<int>(count - i)});
}

}  // namespace apam::kernels::cpu
