// Memory of a device or for one: its owner, and copies that block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/runtime/device_runtime.h"
#include "kernels/runtime/span.h"
#include "kernels/runtime/stream.h"

namespace apam {

/// Owns uninitialised memory. Host memory is aligned to 64 bytes, from 4 MiB on to 2 MiB. Move-only.
class Buffer {
 public:
  Buffer() = default;
  /// Memory of `kind` for `device`. Throws OutOfMemory or another DeviceError.
  Buffer(Device device, std::size_t bytes, MemoryKind kind = MemoryKind::device);

  std::size_t size_bytes() const { return bytes_; }
  /// The device that holds the memory: the CPU for pinned and host memory.
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
    MemoryKind kind = MemoryKind::device;
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Release> data_{nullptr, Release{}};
  std::size_t bytes_ = 0;
  Device device_{};
};

/// A name of a buffer on a GPU, with which another process of this host can map it. Throws DeviceError if the system has none.
std::string export_memory(const Buffer& buffer);

/// Memory of a GPU that another process has exported, mapped for a GPU of this process: the same or another one. The owner must
/// not release it before. Move-only.
class ImportedMemory {
 public:
  /// Throws DeviceError if the system refuses, for example between GPUs without access to each other.
  ImportedMemory(Device device, const std::string& name, std::size_t bytes);

  /// All of it.
  template <class T>
  Span<T> as() const {
    return {reinterpret_cast<T*>(data_.get()), bytes_ / sizeof(T), device_};
  }

 private:
  struct Release {
    Device device;
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Release> data_;
  std::size_t bytes_;
  Device device_;
};

/// Copies bytes between or within devices, after all earlier work of the device; blocks until the copy is complete.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes);

/// Copies all elements, after all earlier work of the device; blocks until the copy is complete. For file and message buffers;
/// inside a step use copy(exec, ...) of kernels/runtime/exec.h. Throws ShapeError if the sizes differ, TypeError if the types
/// do.
void copy(In from, Out to);

/// In order with the other work of the stream, which must be of the GPU if one of the two is on a GPU; may return before the
/// copy is complete, so pinned memory must stay unchanged until then. Same errors.
void copy(const Stream& stream, In from, Out to);

/// Sets every byte to zero, after all earlier work of the device; blocks. With an Exec use zero(exec, ...).
void zero(Out values);
/// In order with the other work of the stream.
void zero(const Stream& stream, Out values);

}  // namespace apam
