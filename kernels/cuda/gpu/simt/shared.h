// Shared memory of a block. A kernel receives it as SharedBytes, declares arrays in it, and accesses them through Shared<T>
// only: [] and + are all that the emulator can follow. Read elements into typed variables, not into `auto`.
#pragma once

#include <cstdint>

#include <simt/macros.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {

template <class T>
class Shared {
 public:
  DEVICE explicit Shared(T* data) : data_(data) {}

  template <class Integer>
  DEVICE T& operator[](Integer index) const {
    return data_[index];
  }
  /// In bytes and 32 bits: what does not change in a loop is then scaled before it.
  template <class Integer>
  DEVICE Shared operator+(Integer elements) const {
    return Shared(
        reinterpret_cast<T*>(reinterpret_cast<char*>(data_) + static_cast<int>(elements) * static_cast<int>(sizeof(T))));
  }
  /// The same memory as elements of another type.
  template <class U>
  DEVICE Shared<U> as() const {
    return Shared<U>(reinterpret_cast<U*>(data_));
  }
  /// The address that instructions take.
  DEVICE std::uint32_t address() const { return static_cast<std::uint32_t>(__cvta_generic_to_shared(data_)); }

 private:
  T* data_;
};

/// All of a block's shared memory, aligned to 1024 bytes.
class SharedBytes {
 public:
  DEVICE explicit SharedBytes(unsigned char* data) : data_(data) {}
  /// `count` elements of T from byte `offset`.
  template <class T>
  DEVICE Shared<T> array(int offset, int /*count*/) const {
    return Shared<T>(reinterpret_cast<T*>(data_ + offset));
  }

 private:
  unsigned char* data_;
};

}  // namespace on_gpu
}  // namespace apam::kernels::cuda
