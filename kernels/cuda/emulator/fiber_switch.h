// The part of a fiber that depends on the processor.
#pragma once

#include <cstddef>

namespace apam::kernels::cuda::emulator {

/// Writes a frame to an unused stack, so that switching to the returned stack pointer calls entry(argument). `entry` must not
/// return.
void* first_frame(std::byte* bottom, std::size_t bytes, void (*entry)(void*), void* argument);

/// Saves the running stack's pointer in *save and continues on the stack with pointer `load`.
void switch_stack(void** save, void* load);

}  // namespace apam::kernels::cuda::emulator
