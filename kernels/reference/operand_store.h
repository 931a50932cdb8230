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

/// An operand where host code can access it: the operand itself on the CPU, else a copy.
class OnHost {
 public:
  explicit OnHost(Out operand);
  std::span<float> values() { return copied_.empty() ? operand_.host() : std::span<float>(copied_); }
  /// Copies changes back to the operand.
  void put_back() const;

 private:
  Out operand_;
  std::vector<float> copied_;
};

/// The values of an operand in double.
std::vector<double> doubles(In values);

class OperandStore {
 public:
  OperandStore(Exec& exec, std::uint64_t seed, std::unique_ptr<OperandMemory> memory);

  /// A new operand, all NaN.
  Out unwritten(std::size_t size);
  /// A new operand, normally distributed.
  Out normal(std::size_t size, double deviation = 1, double mean = 0);
  /// A new operand with the values of another one.
  Out copy_of(In values);
  /// New labels, uniform in 0 .. classes-1.
  Labels labels(std::size_t size, int classes);

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
  Out floats(std::size_t size);

  Device device_;
  int threads_;
  std::uint64_t seed_;
  std::unique_ptr<OperandMemory> memory_;
  std::uint64_t streams_ = 0;   // number of streams drawn from so far
  std::vector<float> normals_;  // the pool that operands are pieced together from
};

}  // namespace apam::kernels
