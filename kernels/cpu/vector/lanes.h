// Walking over contiguous floats a vector at a time, the last vector being partial where the count does not divide.
#pragma once

#include <cstdint>

namespace apam::kernels::cpu {

/// How a step loads and stores: a whole vector, or the first few lanes of one.
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

/// Calls step(offset, lanes) for each vector of `count` floats; the step is the same code for whole and partial vectors.
template <class V, class Step>
inline void for_each_vector(std::int64_t count, Step step) {
  std::int64_t i = 0;
  for (; i + V::width <= count; i += V::width) step(i, Whole<V>{});
  if (i < count) step(i, Part<V>{static_cast<int>(count - i)});
}

}  // namespace apam::kernels::cpu
