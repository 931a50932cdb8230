#include "kernels/cuda/emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "kernels/cuda/emulator/fiber_switch.h"
#include "kernels/cuda/emulator/sanitizer.h"
#include "kernels/runtime/error.h"

namespace apam::kernels::cuda::emulator {
namespace {

std::size_t page() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace

Stack::Stack() {
  void* memory = ::mmap(nullptr, kBytes + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require<OutOfMemory>(memory != MAP_FAILED, "emulator: no memory for the stack of a thread");
  memory_ = static_cast<std::byte*>(memory);
  require<DeviceError>(::mprotect(memory_, page(), PROT_NONE) == 0, "emulator: a stack cannot be protected");
}
Stack::~Stack() {
  if (memory_ == nullptr) return;
  abandon();
  ::munmap(memory_, kBytes + page());
}
Stack::Stack(Stack&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}

void Stack::abandon() const { sanitizer::forget_stack(bottom(), kBytes); }

std::byte* Stack::bottom() const { return memory_ + page(); }

struct FiberEntry {
  static void call(void* fiber) { static_cast<Fiber*>(fiber)->run(); }
};

void Fiber::prepare(const Stack& stack, Body body, void* argument) {
  bottom_ = stack.bottom();
  body_ = body;
  argument_ = argument;
  ended_ = false;
  stack_pointer_ = first_frame(bottom_, Stack::kBytes, &FiberEntry::call, this);
}

void Fiber::resume() {
  void* fake_stack = nullptr;
  sanitizer::leave_stack(&fake_stack, bottom_, Stack::kBytes);
  switch_stack(&caller_stack_pointer_, stack_pointer_);
  sanitizer::enter_stack(fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
  sanitizer::leave_stack(&fake_stack_, caller_bottom_, caller_bytes_);
  switch_stack(&stack_pointer_, caller_stack_pointer_);
  sanitizer::enter_stack(fake_stack_, &caller_bottom_, &caller_bytes_);
}

void Fiber::run() {
  sanitizer::enter_stack(nullptr, &caller_bottom_, &caller_bytes_);
  body_(argument_);
  ended_ = true;
  sanitizer::leave_stack(nullptr, caller_bottom_, caller_bytes_);
  switch_stack(&stack_pointer_, caller_stack_pointer_);
}

}  // namespace apam::kernels::cuda::emulator
