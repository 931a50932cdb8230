// A file that appears whole or not at all. It is written under another name in the same folder, brought to the disk and then
// renamed, so that a reader, a full disk or a crash at any moment meets the old file or the new one.
//
// A symbolic link is followed: what it leads to is replaced, the link stays. What is no regular file (a terminal, /dev/null, a
// FIFO, a pipe behind /dev/stdout) cannot be replaced: bytes go straight to it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/runtime/descriptor.h"

namespace apam {

class AtomicFile {
 public:
  /// `path` may have any bytes that a file's name can have. Throws InputError when the folder does not take a new file, and
  /// when a folder has that name.
  explicit AtomicFile(const std::filesystem::path& path);
  /// Removes what was written unless commit() was reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws InputError when the bytes do not fit.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Brings the bytes to the disk and the file to its name. A file that stood there is replaced and leaves its permissions to
  /// the new one; otherwise they follow the umask. Throws InputError; what stood there is then as it was,
  /// unless it is only the folder that does not reach the disk.
  void commit();

  /// Whether a file of this name is one that a writer left when it was killed.
  static bool is_leftover(std::string_view name);

 private:
  void open_partial();

  std::filesystem::path path_;           // as the caller wrote it, for messages
  std::filesystem::path place_;          // where links lead
  std::filesystem::path partial_;        // next to place_; empty: bytes go straight to the place
  std::optional<::mode_t> permissions_;  // of the file that is replaced
  Descriptor file_;
};

/// Writes a whole file as AtomicFile does.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace apam
