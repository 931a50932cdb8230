// A library with the functions of NCCL that kernels/nccl uses. It does nothing but remember its calls.
#pragma once

namespace apam::fake_nccl {

/// Name of a function that returns all calls so far, one per line, and forgets them: const char*().
inline constexpr const char* kCalls = "fake_nccl_calls";
using Calls = const char* (*)();

/// Name of a function that makes the NCCL function of the given name fail from now on; "": none. void(const char*).
inline constexpr const char* kFail = "fake_nccl_fail";
using Fail = void (*)(const char*);

}  // namespace apam::fake_nccl
