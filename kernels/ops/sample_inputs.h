// Sample operands for the passes of a problem. `auto` times kernels on them; tests and benchmarks run every provider on them.
// Inputs are drawn from Philox in the ranges that a net has: unit normal activations, weights of 1 / sqrt(fan in), positive
// variances, valid labels. Operands that a pass only writes start as NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/ops/operation.h"

namespace apam::kernels {

/// Where operands get their memory.
class OperandMemory {
 public:
  virtual ~OperandMemory() = default;
  /// `bytes` of the device's memory, aligned to 64, valid as long as this object.
  virtual std::byte* allocate(std::size_t bytes) = 0;
};

/// The operands of all passes of a problem, by name, and a function run(); specialised in kernels/reference/NAME_sample.h.
template <class Op>
struct Operands;

/// Operands<Op> for code that only runs kernels on them.
template <class Op>
class SampleInputs {
 public:
  /// Draws the operands of all passes.
  SampleInputs(Exec& exec, const typename Op::Problem& problem, std::uint64_t seed = 0);
  ~SampleInputs();
  SampleInputs(const SampleInputs&) = delete;
  SampleInputs& operator=(const SampleInputs&) = delete;

  /// Runs one pass, which overwrites its outputs.
  void run(Exec& exec, typename Op::Kernel& kernel, typename Op::Pass pass);

 private:
  std::unique_ptr<Operands<Op>> operands_;
};

}  // namespace apam::kernels
