// ZIP archives (PKWARE's APPNOTE.TXT, version 6.3.10), restricted to what NumPy's npz files use: one file, the methods stored
// and deflated, zip64, data descriptors.
//
//   (local header | data | data descriptor)...  central directory | zip64 end record and locator | end record
//
// Positions, sizes and checksums are those of the central directory. Each local header must agree with it, and entries must not
// overlap. Entry names are only compared, never used as paths; names with a slash, a backslash or a leading dot are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/file_reader.h"

namespace apam::data {

struct ZipEntry {
  std::string name;
  std::uint64_t size = 0;      ///< of the content, in bytes
  std::uint64_t stored = 0;    ///< bytes in the archive
  std::uint64_t position = 0;  ///< of the first of them
  std::uint32_t crc32 = 0;     ///< of the content
  bool deflated = false;
};

/// An open archive. Thread-safe.
class ZipArchive {
 public:
  /// Reads and checks the headers. At most 1024 entries and 1 MiB of central directory. Throws InputError with file, rule and
  /// both values if
  /// - the end record is missing, or the directory is not exactly the bytes before it;
  /// - the archive is split over several files, or an entry is encrypted or has another method or unknown flags;
  /// - a size exceeds the file, or deflate cannot expand the stored bytes to it (at most 1032 : 1);
  /// - a zip64 field is missing or contradicts the field that it extends;
  /// - names are repeated or invalid, entries overlap, or a local header differs from the directory.
  ZipArchive(const char* operation, std::filesystem::path path);

  const FileReader& file() const { return file_; }
  const std::vector<ZipEntry>& entries() const { return entries_; }  ///< in the order of the directory

  /// nullptr if there is no entry of this name.
  const ZipEntry* find(std::string_view name) const;

  /// "imagenet32: DIR/val_data.npz", for messages.
  const std::string& where() const { return where_; }

 private:
  FileReader file_;
  std::string where_;
  std::vector<ZipEntry> entries_;
};

/// Reads the content of an entry once, front to back. Uses 64 KiB of buffer and, for deflate, zlib's window of 32 KiB.
/// Move-only.
class ZipReader {
 public:
  /// `archive` must outlive the reader. `entry` is one of archive.entries().
  ZipReader(const ZipArchive& archive, const ZipEntry& entry);
  ~ZipReader();
  ZipReader(ZipReader&&) noexcept;
  ZipReader& operator=(ZipReader&&) = delete;

  /// Bytes that have not been read.
  std::uint64_t left() const { return left_; }

  /// Fills `bytes`. Reading the last byte of the content checks that the data ends there and that the checksum is right. Throws
  /// InputError if it does not, if less than `bytes` is left, or if the data is damaged.
  void read(std::span<std::uint8_t> bytes);

  /// Reads and discards `count` bytes.
  void skip(std::uint64_t count);

 private:
  struct Inflater;

  std::size_t inflate(std::span<std::uint8_t> bytes);
  void finish();

  const ZipArchive* archive_;
  const ZipEntry* entry_;
  std::unique_ptr<Inflater> inflater_;  // empty for stored entries
  std::uint64_t left_;
  std::uint32_t crc32_ = 0;
};

}  // namespace apam::data
