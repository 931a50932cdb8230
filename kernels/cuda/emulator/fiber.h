// Fibers: functions with stacks of their own. A fiber runs on the thread that resumes it, until it suspends itself or ends.
// fiber_x86_64.cpp switches stacks in a few nanoseconds; fiber_ucontext.cpp works on every processor and takes a system call.
#pragma once

#include <cstddef>

namespace apam::kernels::cuda::emulator {

/// Memory for the stack of a fiber, with a page below it that cannot be accessed.
class Stack {
 public:
  Stack();
  ~Stack();
  Stack(Stack&& other) noexcept;
  Stack& operator=(Stack&&) = delete;

  std::byte* bottom() const;
  /// The fiber on this stack will not continue. Needed before another one is prepared, unless it has ended.
  void abandon() const;
  static constexpr std::size_t kBytes = std::size_t{256} << 10U;

 private:
  std::byte* memory_;
};

class Fiber {
 public:
  using Body = void (*)(void* argument);

  /// The first resume() will call body(argument) on `stack`. `body` must not throw. The objects on the stack of a fiber
  /// that is abandoned are not destroyed.
  void prepare(const Stack& stack, Body body, void* argument);

  /// Runs the fiber until it suspends itself or ends.
  void resume();
  /// Called by the fiber: returns from resume(), and continues here at the next resume().
  void suspend();
  bool ended() const { return ended_; }

 private:
  friend struct FiberEntry;
  void run();

  void* stack_pointer_ = nullptr;         // of the fiber while it is suspended
  void* caller_stack_pointer_ = nullptr;  // of the thread while the fiber runs
  std::byte* bottom_ = nullptr;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  bool ended_ = false;
  // For AddressSanitizer: the caller's stack, and the fake stacks of both.
  const void* caller_bottom_ = nullptr;
  std::size_t caller_bytes_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace apam::kernels::cuda::emulator
