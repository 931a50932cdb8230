// Switching stacks on x86-64 under the System V ABI: the registers that a function must preserve are saved on the stack that is
// left and restored from the one that is entered. The control words of x87 and SSE are the same for all fibers.
#include "kernels/cuda/emulator/fiber_switch.h"

extern "C" {
void apam_emulator_switch_stack(void** save, void* load);
void apam_emulator_first_frame();
}

asm(R"(
  .text
  .type apam_emulator_switch_stack, @function
apam_emulator_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size apam_emulator_switch_stack, .-apam_emulator_switch_stack

  .type apam_emulator_first_frame, @function
apam_emulator_first_frame:
  movq %r12, %rdi
  callq *%r13
  ud2
  .size apam_emulator_first_frame, .-apam_emulator_first_frame
)");

namespace apam::kernels::cuda::emulator {

void* first_frame(std::byte* bottom, std::size_t bytes, void (*entry)(void*), void* argument) {
  auto** top = reinterpret_cast<void**>(bottom + bytes);  // aligned to 16, as a call expects it
  *--top = reinterpret_cast<void*>(&apam_emulator_first_frame);
  *--top = nullptr;                         // rbp
  *--top = nullptr;                         // rbx
  *--top = argument;                        // r12
  *--top = reinterpret_cast<void*>(entry);  // r13
  *--top = nullptr;                         // r14
  *--top = nullptr;                         // r15
  return top;
}

void switch_stack(void** save, void* load) { apam_emulator_switch_stack(save, load); }

}  // namespace apam::kernels::cuda::emulator
