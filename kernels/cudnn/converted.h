// Copies of operands in another type, for graphs that do not read the type of the problem.
#pragma once

#include "kernels/ops/kernel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cudnn {

/// A copy of an operand in another type, in the second scratch area of the Exec.
template <class To>
class Converted {
 public:
  Converted(Exec& exec, std::size_t size, DType from, WorkspacePlan& copies)
      : size_(size),
        kernel_(&kernel<Convert>(exec, {static_cast<std::int64_t>(size), from, dtype_of<To>}, Convert::Pass::forward).get()),
        copy_(copies.add<To>(static_cast<std::int64_t>(size))) {}

  /// Writes the copy. `copies` is the scratch area.
  const void* of(Exec& exec, In operand, std::byte* copies) const {
    const Out copy = Span<To>(copy_.in(copies), size_, exec.device());
    kernel_->forward(exec, operand, copy);
    return copy.bytes();
  }

 private:
  std::size_t size_;
  Convert::Kernel* kernel_;  // lives as long as the Exec
  Region<To> copy_;
};

}  // namespace apam::kernels::cudnn
