// Memory that several processes of one host map.
//
// The creator makes a file without a name (memfd_create), allocates all of it and seals its size. Others open it through
// /proc/PID/fd of the creator. So nothing has to be removed: the memory disappears with its last user, however that ends, and
// no process can get SIGBUS because memory is short or the file was cut. Its pages are huge where the system has such pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/runtime/descriptor.h"
#include "kernels/runtime/error.h"

namespace apam {

/// The system refuses shared memory.
class SharedMemoryError : public DeviceError {
 public:
  SharedMemoryError(const std::string& message, int code) : DeviceError(message), code_(code) {}
  int code() const { return code_; }  ///< errno

 private:
  int code_;
};

/// Owns a mapping, aligned to pages, from 2 MiB on to huge pages. Move-only.
class SharedMemory {
 public:
  /// `bytes` > 0, all zero. `name` is for messages and for /proc/PID/maps. Throws OutOfMemory, with the bytes needed and those
  /// available (available_memory.h), or SharedMemoryError.
  static SharedMemory create(std::string_view name, std::size_t bytes);

  /// The creator's memory; `address` is its address(). Throws SharedMemoryError if this process cannot open it or it has ended,
  /// if it is no longer offered, or is not what the address says; InputError for text that is no address.
  static SharedMemory attach(std::string_view name, std::string_view address);

  /// For threads of this process and children that it forks later. Same errors as create().
  static SharedMemory anonymous(std::string_view name, std::size_t bytes);

  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return bytes_; }

  /// One word, for attach() in other processes of this host, while this object offers it.
  const std::string& address() const { return address_; }
  /// All others have attached: from now on no process can.
  void withdraw();

  /// Writing to [offset, offset + bytes) is a fault of this process from now on; both are multiples of 4096. Throws
  /// InputError unless they are, ShapeError for bytes past the end, SharedMemoryError if the system refuses.
  void make_read_only(std::size_t offset, std::size_t bytes);

 private:
  SharedMemory(std::byte* data, std::size_t bytes) : data_(data), bytes_(bytes) {}

  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  Descriptor file_;  // creator only
  std::string address_;
};

}  // namespace apam
