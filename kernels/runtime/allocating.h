// Containers of the standard library say "std::bad_alloc" when memory is short. Where a size comes from outside, the error
// names it.
#pragma once

#include <new>
#include <stdexcept>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam {

/// Returns what `make` makes; throws DeviceError with a formatted message when its memory is not there.
template <class Make, class... Args>
auto allocating(Make&& make, fmt::format_string<Args...> format, Args&&... args) {
  try {
    return make();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {  // more elements than a container can count
  }
  fail<DeviceError>(format, std::forward<Args>(args)...);
}

}  // namespace apam
