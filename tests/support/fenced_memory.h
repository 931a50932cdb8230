// Memory for operands, each between two fences that show whether something was written outside it.
#pragma once

#include <vector>

#include "kernels/ops/sample_inputs.h"
#include "kernels/runtime/buffer.h"

namespace apam::support {

class FencedMemory final : public kernels::OperandMemory {
 public:
  explicit FencedMemory(Device device) : device_(device) {}

  std::byte* allocate(std::size_t bytes) override;
  /// True if all fences hold their original words.
  bool intact() const;

 private:
  struct Operand {
    Buffer buffer;
    std::size_t bytes;  // of the operand inside
  };
  Device device_;
  std::vector<Operand> operands_;
};

}  // namespace apam::support
