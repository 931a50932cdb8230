// A file as read-only memory, shared between all processes that map it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace apam::data {

/// Owns one mapping. Move-only. The file must not be shortened while it is mapped.
class MappedFile {
 public:
  /// Maps all of `path`. Throws InputError, beginning with `operation`, unless it is a regular file, not empty, and can be
  /// read.
  MappedFile(const char* operation, const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace apam::data
