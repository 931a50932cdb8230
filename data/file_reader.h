// A data file, read piece by piece while training runs.
//
// Pieces are read with pread, not mapped: where a mapped file is shortened, or its disk or server fails, the process ends by
// SIGBUS without a word; a read says what happened, in an exception that reaches every rank. The pages are the system's file
// cache either way, so all processes of a host share one copy, and a read of an image is a small part of what preparing it
// costs. An open file stays the same when its name is given to another one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "kernels/runtime/descriptor.h"

namespace apam::data {

/// Owns one open file. Move-only. Safe to use from several threads at once.
class FileReader {
 public:
  /// Opens `path`. Throws InputError, beginning with `operation`, unless it is a regular file, not empty, and can be read.
  FileReader(const char* operation, std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::size_t size() const { return size_; }  ///< bytes when it was opened

  /// Fills `bytes` from byte `offset` on. Throws InputError when the file ends before, or cannot be read.
  void read(std::size_t offset, std::span<std::uint8_t> bytes) const;

 private:
  const char* operation_;
  std::filesystem::path path_;
  Descriptor file_;
  std::size_t size_ = 0;
};

}  // namespace apam::data
