// A view of typed memory on a device.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include "kernels/runtime/device.h"
#include "kernels/runtime/error.h"

namespace apam {

/// `size` elements at `data` on `device`. Does not own them.
template <class T>
class DeviceSpan {
 public:
  DeviceSpan() = default;
  DeviceSpan(T* data, std::size_t size, Device device = {}) : data_(data), size_(size), device_(device) {}

  /// Host memory as a span on the CPU.
  template <class U>
  requires std::is_convertible_v<U (*)[], T (*)[]> DeviceSpan(std::span<U> host)
      : DeviceSpan(host.data(), host.size()) {}  // NOLINT(google-explicit-constructor)

  /// DeviceSpan<T> becomes DeviceSpan<const T>.
  template <class U>
  requires std::is_convertible_v<U (*)[], T (*)[]> DeviceSpan(
      const DeviceSpan<U>& other)  // NOLINT(google-explicit-constructor)
      : DeviceSpan(other.data(), other.size(), other.device()) {}

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t size_bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }
  Device device() const { return device_; }

  /// `count` elements from `offset`. Throws ShapeError if out of range.
  DeviceSpan subspan(std::size_t offset, std::size_t count) const {
    require<ShapeError>(offset <= size_ && count <= size_ - offset, "subspan: elements {} to {} of a span of {}", offset,
                        offset + count, size_);
    return {data_ + offset, count, device_};
  }

  /// The same memory for host code. Throws DeviceError if it is on a GPU.
  std::span<T> host() const {
    require<DeviceError>(device_.kind == DeviceKind::cpu, "host access: the memory is on {}", to_string(device_));
    return {data_, size_};
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  Device device_{};
};

using In = DeviceSpan<const float>;  ///< an operand that a kernel reads
using Out = DeviceSpan<float>;       ///< an operand that a kernel writes
using Labels = DeviceSpan<const std::int32_t>;

}  // namespace apam
