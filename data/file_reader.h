// Random access to a data file while training runs.
//
// Uses pread, not mmap. If a mapped file is truncated, or its disk or server fails, the process dies silently by SIGBUS; a
// failed read throws, and every rank can report the error. Either way the processes of a host share one copy in the page cache,
// and reading an image costs little compared to preparing it. Replacing the file does not affect an open FileReader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "kernels/runtime/descriptor.h"

namespace apam::data {

/// Owns an open file. Move-only. Thread-safe.
class FileReader {
 public:
  /// Throws InputError unless `path` is a readable, non-empty regular file. All messages start with `operation`.
  FileReader(const char* operation, std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::size_t size() const { return size_; }  ///< in bytes, when opened

  /// Fills `bytes` from byte `offset`. Throws InputError if the file ends early or cannot be read.
  void read(std::size_t offset, std::span<std::uint8_t> bytes) const;

 private:
  const char* operation_;
  std::filesystem::path path_;
  Descriptor file_;
  std::size_t size_ = 0;
};

}  // namespace apam::data
