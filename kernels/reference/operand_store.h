// The memory of a trial: operands on one device, each between two fences, and the drawing of their values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels {

/// An operand where host code can reach it: the operand itself on the CPU, else a copy.
class OnHost {
 public:
  explicit OnHost(Out operand);
  std::span<float> values() { return copied_.empty() ? operand_.host() : std::span<float>(copied_); }
  /// Brings changes back to the operand.
  void put_back() const;

 private:
  Out operand_;
  std::vector<float> copied_;
};

/// The values of an operand in double.
std::vector<double> doubles(In values);

/// Which elements of an operand are extreme: NaN, +-Inf, or so large that a product of two overflows.
std::vector<bool> extremes(In values);

/// Marks what is marked in `more`, of the same size.
void mark(std::vector<bool>& marks, const std::vector<bool>& more);

class OperandStore {
 public:
  OperandStore(Exec& exec, std::uint64_t seed);

  /// A new operand, all NaN.
  Out unwritten(std::size_t size);
  /// A new operand, normally distributed.
  Out normal(std::size_t size, double deviation = 1, double mean = 0);
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

  /// True while the fences around all operands hold what they were built with.
  bool fences_intact() const;

 private:
  std::byte* fenced(std::size_t bytes);

  struct Fenced {
    Buffer buffer;
    std::size_t bytes;  // of the operand inside
  };
  Device device_;
  int threads_;
  std::uint64_t seed_;
  std::uint64_t streams_ = 0;   // drawn from so far
  std::vector<float> normals_;  // operands are pieced together from this pool
  std::vector<Fenced> operands_;
};

}  // namespace apam::kernels
