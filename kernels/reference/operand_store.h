// The values of sample operands: memory for them, and how they are drawn.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/ops/sample_inputs.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels {

/// A buffer per operand.
class Buffers final : public OperandMemory {
 public:
  explicit Buffers(Device device) : device_(device) {}
  std::byte* allocate(std::size_t bytes) override { return buffers_.emplace_back(device_, bytes).data(); }

 private:
  Device device_;
  std::vector<Buffer> buffers_;
};

/// The values of an operand as floats that host code can access: the operand itself, or a copy if it is on a GPU or of another
/// type.
class OnHost {
 public:
  explicit OnHost(Out operand);
  std::span<float> values() { return values_; }
  /// Copies changes back to the operand, rounded to its type.
  void put_back() const;

 private:
  Out operand_;
  std::vector<float> copied_;
  std::span<float> values_;
};

/// Writes values to an operand, rounded to its type.
void write_values(std::span<const float> values, Out operand);

/// The values of an operand in double.
std::vector<double> doubles(In values);

/// The same for weights that are multiplied with activations of this type.
std::vector<double> weight_doubles(ConstSpan<float> weights, DType activations);

/// Operands are float32, except those named activations.
class OperandStore {
 public:
  OperandStore(Exec& exec, std::uint64_t seed, std::unique_ptr<OperandMemory> memory, DType activations = DType::float32);

  /// A new operand, all NaN.
  Span<float> unwritten(std::size_t size) { return unwritten_of(DType::float32, size).as<float>("sample"); }
  Out unwritten_activations(std::size_t size) { return unwritten_of(activations_, size); }
  Out unwritten_of(DType type, std::size_t size);
  /// A new operand, normally distributed.
  Span<float> normal(std::size_t size, double deviation = 1, double mean = 0) {
    return normal_of(DType::float32, size, deviation, mean).as<float>("sample");
  }
  Out activations(std::size_t size, double deviation = 1, double mean = 0) {
    return normal_of(activations_, size, deviation, mean);
  }
  Out normal_of(DType type, std::size_t size, double deviation = 1, double mean = 0);
  /// A new operand with the values of another one.
  Span<float> copy_of(ConstSpan<float> values);
  /// New labels, uniform in 0 .. classes-1.
  Labels labels(std::size_t size, int classes);

  /// New bytes, uniform.
  ConstSpan<std::uint8_t> bytes(std::size_t size);

  /// Fills an operand with NaN, or with new normal numbers.
  void make_unwritten(Out values) const;
  void draw_normal(Out values, double deviation = 1, double mean = 0);
  /// Replaces each element by function(element, its index).
  template <class Function>
  void edit(Out values, Function function) const {
    OnHost host(values);
    const auto elements = host.values();
    parallel_for(threads_, static_cast<std::int64_t>(elements.size()), 1024, [&](std::int64_t begin, std::int64_t end) {
      for (auto e = static_cast<std::size_t>(begin); e < static_cast<std::size_t>(end); ++e) {
        elements[e] = static_cast<float>(function(elements[e], e));
      }
    });
    host.put_back();
  }

 private:
  Out allocate(std::size_t size, DType type);
  /// Uniform in 0 .. bound-1.
  template <class T>
  ConstSpan<T> whole_numbers(std::size_t size, int bound);

  Device device_;
  DType activations_;
  int threads_;
  std::uint64_t seed_;
  std::unique_ptr<OperandMemory> memory_;
  std::uint64_t streams_ = 0;   // number of streams drawn from so far
  std::vector<float> normals_;  // the pool that operands are pieced together from
};

}  // namespace apam::kernels
