#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#include "kernels/cuda/emulator/sanitizer.h"

namespace apam::kernels::cuda::emulator::sanitizer {

void leave_stack(void** fake_stack, const void* bottom, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
}
void enter_stack(void* fake_stack, const void** bottom, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
}
void forget_stack(const void* bottom, std::size_t bytes) { __asan_unpoison_memory_region(bottom, bytes); }
bool readable(const void* data, std::size_t bytes) {
  return __asan_region_is_poisoned(const_cast<void*>(data), bytes) == nullptr;
}

}  // namespace apam::kernels::cuda::emulator::sanitizer
