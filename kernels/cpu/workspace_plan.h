// Several arrays in one workspace: laid out when a kernel is constructed, resolved to pointers in each call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/runtime/exec.h"

namespace apam::kernels::cpu {

/// Offset of an array of T in the workspace, aligned to a cache line.
template <class T>
struct Region {
  std::size_t offset = 0;
  T* in(std::byte* workspace) const { return reinterpret_cast<T*>(workspace + offset); }
};

class WorkspacePlan {
 public:
  template <class T>
  Region<T> add(std::int64_t count) {
    const Region<T> region{bytes_};
    bytes_ += (static_cast<std::size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
    return region;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kLine = 64;
  std::size_t bytes_ = 0;
};

}  // namespace apam::kernels::cpu
