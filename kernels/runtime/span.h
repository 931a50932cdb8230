// Views of memory on a device: Span<T> for a type that is fixed, In and Out for one that is known at run time.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include "kernels/runtime/device.h"
#include "kernels/runtime/dtype.h"
#include "kernels/runtime/error.h"

namespace apam {

/// `size` elements at `data` on `device`. Does not own them.
template <class T>
class Span {
 public:
  Span() = default;
  Span(T* data, std::size_t size, Device device = {}) : data_(data), size_(size), device_(device) {}

  /// Host memory as a span on the CPU.
  template <class U>
  requires std::is_convertible_v<U (*)[], T (*)[]> Span(std::span<U> host)
      : Span(host.data(), host.size()) {}  // NOLINT(google-explicit-constructor)

  /// Span<T> becomes Span<const T>.
  template <class U>
  requires std::is_convertible_v<U (*)[], T (*)[]> Span(const Span<U>& other)  // NOLINT(google-explicit-constructor)
      : Span(other.data(), other.size(), other.device()) {}

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t size_bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }
  Device device() const { return device_; }

  /// `count` elements from `offset`. Throws ShapeError if out of range.
  Span subspan(std::size_t offset, std::size_t count) const {
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

template <class T>
using ConstSpan = Span<const T>;
using Labels = ConstSpan<std::int32_t>;

/// `size` elements of a type that is known at run time. `Byte` is std::byte or const std::byte.
template <class Byte>
class ArrayRef {
  template <class T>
  using Element = std::conditional_t<std::is_const_v<Byte>, const T, T>;

 public:
  ArrayRef() = default;
  ArrayRef(Byte* data, std::size_t size, DType type, Device device = {})
      : data_(data), size_(size), type_(type), device_(device) {}

  template <class T>
  requires std::is_convertible_v < T (*)[], Element<std::remove_const_t<T>>(*)
  [] > ArrayRef(const Span<T>& span)  // NOLINT(google-explicit-constructor)
      : ArrayRef(reinterpret_cast<Byte*>(span.data()), span.size(), dtype_of<T>, span.device()) {}

  /// Host memory as an array on the CPU.
  template <class T>
  requires std::is_convertible_v < T (*)[], Element<std::remove_const_t<T>>(*)
  [] > ArrayRef(std::span<T> host)  // NOLINT(google-explicit-constructor)
      : ArrayRef(Span<T>(host)) {}

  /// Out becomes In.
  template <class Other>
  requires std::is_convertible_v<Other (*)[], Byte (*)[]> ArrayRef(
      const ArrayRef<Other>& other)  // NOLINT(google-explicit-constructor)
      : ArrayRef(other.bytes(), other.size(), other.type(), other.device()) {}

  Byte* bytes() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t size_bytes() const { return size_ * size_of(type_); }
  bool empty() const { return size_ == 0; }
  DType type() const { return type_; }
  Device device() const { return device_; }

  /// The elements as a span of T. An empty array is of any type. Throws TypeError if they are of another type; `operand` starts
  /// the message: "conv2d: x".
  template <class T>
  Span<Element<T>> as(std::string_view operand) const {
    if (size_ == 0) return {nullptr, 0, device_};
    require<TypeError>(type_ == dtype_of<T>, "{} is {}, expected {}", operand, to_string(type_), to_string(dtype_of<T>));
    return {reinterpret_cast<Element<T>*>(data_), size_, device_};
  }

  /// `count` elements from `offset`. Throws ShapeError if out of range.
  ArrayRef subspan(std::size_t offset, std::size_t count) const {
    require<ShapeError>(offset <= size_ && count <= size_ - offset, "subspan: elements {} to {} of an array of {}", offset,
                        offset + count, size_);
    return {data_ + offset * size_of(type_), count, type_, device_};
  }

 private:
  Byte* data_ = nullptr;
  std::size_t size_ = 0;
  DType type_ = DType::float32;
  Device device_{};
};

using In = ArrayRef<const std::byte>;  ///< an operand that a kernel reads
using Out = ArrayRef<std::byte>;       ///< an operand that a kernel writes

}  // namespace apam
