// Reads a file front to back, decompressing it if it is a gzip file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "data/file_reader.h"

namespace apam::data {

/// Memory use is constant. gzip's checksum and size are verified when the end is read.
class GzipReader {
 public:
  /// Throws InputError unless `path` is a readable, non-empty regular file. All messages start with `operation`.
  GzipReader(const char* operation, const std::filesystem::path& path);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  const std::filesystem::path& path() const { return file_.path(); }

  /// Fills `bytes` with the next bytes. Throws InputError if fewer are left, or if the compressed data is malformed.
  void read(std::span<std::uint8_t> bytes);

  /// Passes over the next `count` bytes. Throws as read().
  void skip(std::uint64_t count);

  /// Throws InputError unless all bytes have been read, and the file ends there.
  void expect_end();

 private:
  struct Stream;

  /// Writes the next bytes to `bytes`; returns how many. 0: the end.
  std::size_t read_some(std::span<std::uint8_t> bytes);
  void refill();

  FileReader file_;
  const char* operation_;
  std::size_t at_ = 0;               // offset in the file of what is read next
  std::uint64_t position_ = 0;       // bytes that were returned
  std::unique_ptr<Stream> stream_;   // null: not compressed
  std::vector<std::uint8_t> chunk_;  // compressed bytes
  bool ended_ = false;               // the compressed data has ended
};

}  // namespace apam::data
