// What AddressSanitizer must know about fibers, and what it knows about memory. The emulator is compiled without sanitizers,
// because its bookkeeping would take most of the time of a test; the kernels that it runs are compiled with them.
// sanitizer_address.cpp is built with AddressSanitizer, sanitizer_none.cpp without; CMake selects one.
#pragma once

#include <cstddef>

namespace apam::kernels::cuda::emulator::sanitizer {

/// Before a switch to the stack [bottom, bottom + bytes). *fake_stack receives the fake stack of the one that is left; null: it
/// is left for good.
void leave_stack(void** fake_stack, const void* bottom, std::size_t bytes);
/// After a switch. `fake_stack` is that of the stack that is entered. Receives the bounds of the one that was left, unless
/// null.
void enter_stack(void* fake_stack, const void** bottom, std::size_t* bytes);
/// Nothing of this stack is in use.
void forget_stack(const void* bottom, std::size_t bytes);
/// Whether all of these bytes may be read; always true without AddressSanitizer.
bool readable(const void* data, std::size_t bytes);

}  // namespace apam::kernels::cuda::emulator::sanitizer
