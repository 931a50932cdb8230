// Memory on a device: one owner, and copies between devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/runtime/device_span.h"

namespace apam {

/// What a kind of device must offer for memory. The CPU's is in cpu_memory.cpp, the GPU's in cuda_memory.cpp, or in
/// no_cuda_memory.cpp where CUDA is not built.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* allocate(std::size_t bytes, int index) = 0;  ///< Throws DeviceError when there is not enough.
  virtual void release(void* data, int index) noexcept = 0;
  /// Returns when the bytes have arrived.
  virtual void copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) = 0;
  virtual void zero(void* data, int index, std::size_t bytes) = 0;
};

/// The memory of `kind`. Throws DeviceError when this build has none.
DeviceMemory& device_memory(DeviceKind kind);
DeviceMemory& cpu_memory();
DeviceMemory& cuda_memory();

/// Owns uninitialised memory on one device: aligned to 64 bytes, to 2 MiB pages when it is that large. Move-only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device device, std::size_t bytes);

  std::size_t size_bytes() const { return bytes_; }
  Device device() const { return device_; }
  std::byte* data() const { return data_.get(); }

  /// The whole buffer as elements of type T.
  template <class T>
  DeviceSpan<T> as() const {
    return {reinterpret_cast<T*>(data_.get()), bytes_ / sizeof(T), device_};
  }

  /// Buffers allocated in this process so far. A training step must not move it after the first.
  static std::uint64_t allocations();

 private:
  struct Release {
    Device device;
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Release> data_{nullptr, Release{Device{}}};
  std::size_t bytes_ = 0;
  Device device_{};
};

/// Copies bytes between devices, or inside one; returns when they have arrived.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes);

/// Copies all elements and returns when they have arrived: for memory that no Exec works on, as files that are read or
/// messages under way. Where there is an Exec use copy(exec, ...), in kernels/runtime/exec.h. Throws ShapeError unless both
/// sides have the same number.
template <class T>
void copy(DeviceSpan<const T> from, DeviceSpan<T> to) {
  require<ShapeError>(from.size() == to.size(), "copy: {} elements into room for {}", from.size(), to.size());
  copy_bytes(to.data(), to.device(), from.data(), from.device(), from.size_bytes());
}
inline void copy(In from, Out to) { copy<float>(from, to); }

/// Sets every byte to zero, likewise; with an Exec: zero(exec, ...).
void zero(Out values);

}  // namespace apam
