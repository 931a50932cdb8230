// The fixture of engine tests: Exec, parameter arena and tape. Uses the reference kernels by default.
#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/ops/ops.h"
#include "kernels/ops/softmax_cross_entropy.h"
#include "kernels/runtime/philox.h"
#include "tests/support/throws.h"

namespace apam::engine {

using support::throws;

struct Model {
  explicit Model(ParameterLayout layout = {}, std::string_view kernels = "reference", int threads = 1,
                 DType activations = DType::float32)
      : exec({.threads = threads, .kernels = KernelSelection::parse(kernels), .activations = activations}),
        arena(Device{}, std::move(layout)),
        tape(exec, arena) {}

  void set(ParameterId id, const std::vector<float>& values) const {
    copy(ConstSpan<float>(values.data(), values.size()), arena.weight(id).data);
  }

  /// softmax_cross_entropy(); valid for one loss per pass.
  BatchScore loss(const Var& logits, Labels labels, float scale) {
    gradient_scale = scale;
    const Span<float> results(sums.data(), sums.size());
    softmax_cross_entropy(logits, {labels, {&gradient_scale, 1}, results});
    return batch_score(results, logits.shape()[0]);
  }

  Exec exec;
  ParameterArena arena;
  Tape tape;

  float gradient_scale = 0;
  std::array<float, kernels::SoftmaxCrossEntropy::sum_count> sums{};
};

/// A view of the vector.
inline Tensor tensor_over(const Shape& shape, std::vector<float>& values) {
  return {shape, Span<float>(values.data(), values.size())};
}

inline Labels labels_over(std::span<const std::int32_t> labels) { return labels; }

inline std::vector<float> values_of(In array) {
  const auto host = array.as<float>("values_of").host();
  return {host.begin(), host.end()};
}

/// `count` samples of N(0, 1).
inline std::vector<float> normals(std::size_t count, std::uint64_t stream) {
  const Random random(1, Purpose::sample, stream);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = random.normal(i);
  return values;
}

}  // namespace apam::engine
