// Several arrays in one workspace: laid out when a kernel is constructed, resolved to pointers in each call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/runtime/exec.h"

namespace apam::kernels {

/// Offset of an array of T in the workspace.
template <class T>
struct Region {
  std::size_t offset = 0;
  T* in(std::byte* workspace) const { return reinterpret_cast<T*>(workspace + offset); }
};

class WorkspacePlan {
 public:
  static constexpr std::size_t kLine = 64;
  /// Arrays begin at multiples of `alignment` bytes, a cache line by default.
  explicit WorkspacePlan(std::size_t alignment = kLine) : alignment_(alignment) {}

  template <class T>
  Region<T> add(std::int64_t count) {
    const Region<T> region{bytes_};
    bytes_ += (static_cast<std::size_t>(count) * sizeof(T) + alignment_ - 1) / alignment_ * alignment_;
    return region;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t alignment_;
  std::size_t bytes_ = 0;
};

}  // namespace apam::kernels
