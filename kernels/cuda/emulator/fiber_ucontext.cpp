// Switching stacks by <ucontext.h>, for processors other than x86-64. A context is stored at the bottom of its stack; that of
// the thread that resumes a fiber, in the frame that waits for the fiber.
#include <ucontext.h>

#include <cstdint>
#include <new>

#include "kernels/cuda/emulator/fiber_switch.h"

namespace apam::kernels::cuda::emulator {
namespace {

struct Start {
  ucontext_t context;
  void (*entry)(void*);
  void* argument;
};

// makecontext() passes only ints.
void start(std::uint32_t upper, std::uint32_t lower) {
  const auto address = (static_cast<std::uintptr_t>(upper) << 16U << 16U) | lower;
  const auto* const self = reinterpret_cast<const Start*>(address);
  self->entry(self->argument);
}

}  // namespace

void* first_frame(std::byte* bottom, std::size_t bytes, void (*entry)(void*), void* argument) {
  auto* const self = new (bottom) Start{};
  self->entry = entry;
  self->argument = argument;
  ::getcontext(&self->context);
  self->context.uc_stack.ss_sp = bottom + sizeof(Start);
  self->context.uc_stack.ss_size = bytes - sizeof(Start);
  const auto address = reinterpret_cast<std::uintptr_t>(self);
  ::makecontext(&self->context, reinterpret_cast<void (*)()>(&start), 2, static_cast<std::uint32_t>(address >> 16U >> 16U),
                static_cast<std::uint32_t>(address));
  return &self->context;
}

void switch_stack(void** save, void* load) {
  ucontext_t here{};
  *save = &here;
  ::swapcontext(&here, static_cast<const ucontext_t*>(load));
}

}  // namespace apam::kernels::cuda::emulator
