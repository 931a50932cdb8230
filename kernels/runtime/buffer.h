// Memory on a device: one owner, and copies between devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/runtime/span.h"

namespace apam {

/// Memory operations of one kind of device: cpu_memory.cpp; cuda_memory.cpp, or no_cuda_memory.cpp in builds without CUDA.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* allocate(std::size_t bytes, int index) = 0;  ///< Throws DeviceError if memory runs out.
  virtual void release(void* data, int index) noexcept = 0;
  /// Blocks until the copy is complete.
  virtual void copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) = 0;
  virtual void zero(void* data, int index, std::size_t bytes) = 0;
};

/// Throws DeviceError if this build does not support `kind`.
DeviceMemory& device_memory(DeviceKind kind);
DeviceMemory& cpu_memory();
DeviceMemory& cuda_memory();

/// The names of the GPUs of this machine, by device index; empty without CUDA, a driver or a GPU.
std::vector<std::string> gpu_names();

/// Owns uninitialised memory on one device. CPU memory is aligned to 64 bytes, from 4 MiB on to 2 MiB. Move-only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device device, std::size_t bytes);

  std::size_t size_bytes() const { return bytes_; }
  Device device() const { return device_; }
  std::byte* data() const { return data_.get(); }

  /// The whole buffer as elements of type T.
  template <class T>
  Span<T> as() const {
    return {reinterpret_cast<T*>(data_.get()), bytes_ / sizeof(T), device_};
  }

  /// Number of buffers allocated in this process so far. Must not grow after the first training step.
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

/// Copies bytes between or within devices; blocks until the copy is complete.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes);

/// Copies all elements; blocks until the copy is complete. For memory that no Exec works on, such as file and message buffers;
/// otherwise use copy(exec, ...) of kernels/runtime/exec.h. Throws ShapeError if the sizes differ, TypeError if the types do.
void copy(In from, Out to);

/// Sets every byte to zero; blocks. With an Exec use zero(exec, ...).
void zero(Out values);

}  // namespace apam
