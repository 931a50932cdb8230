// What a test of the engine runs on: one Exec, one arena and one tape, on the naive kernels unless it says otherwise.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/ops/ops.h"
#include "kernels/runtime/philox.h"

namespace apam::engine {

struct Model {
  explicit Model(ParameterLayout layout = {}, std::string_view kernels = "reference", int threads = 1)
      : exec({.threads = threads, .kernels = KernelSelection::parse(kernels)}),
        arena(Device{}, std::move(layout)),
        tape(exec, arena) {}

  void set(ParameterId id, const std::vector<float>& values) const {
    copy(In(values.data(), values.size()), arena.weight(id).data);
  }

  Exec exec;
  ParameterArena arena;
  Tape tape;
};

/// A tensor over the vector's memory.
inline Tensor tensor_over(const Shape& shape, std::vector<float>& values) { return {shape, Out(values.data(), values.size())}; }

inline Labels labels_over(std::span<const std::int32_t> labels) { return labels; }

inline std::vector<float> values_of(In span) { return {span.host().begin(), span.host().end()}; }

/// `count` unit normal numbers.
inline std::vector<float> normals(std::size_t count, std::uint64_t stream) {
  const Random random(1, Purpose::sample, stream);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = random.normal(i);
  return values;
}

/// The message of the error that `action` throws.
template <class E, class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace apam::engine
