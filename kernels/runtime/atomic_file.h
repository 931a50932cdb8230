// A file that is written completely or not at all. It is written under a temporary name in the same folder, flushed to disk
// and then renamed. Readers see either the old file or the new one, even after a full disk or a crash.
//
// Symbolic links are followed: the target is replaced, the link stays. Anything but a regular file (a terminal, /dev/null, a
// FIFO, a pipe behind /dev/stdout) cannot be replaced and is written in place.
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
  /// `path` need not be UTF-8. Throws InputError if it is a folder, or if its folder cannot take a new file.
  explicit AtomicFile(const std::filesystem::path& path);
  /// Removes the temporary file unless commit() has renamed it.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws InputError if not all bytes can be written.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Flushes the bytes to disk and renames the temporary file. The permissions of a replaced file are kept; those of a new file
  /// follow the umask. Throws InputError; an old file is then unchanged, unless flushing the folder is all that failed.
  void commit();

  /// Throws like the constructor and leaves nothing behind, for use before long work. Devices and FIFOs are not opened.
  static void check(const std::filesystem::path& path);

  /// Whether `name` is that of a temporary file, left behind by a writer that was killed.
  static bool is_leftover(std::string_view name);

 private:
  void open_partial();

  std::filesystem::path path_;           // as passed by the caller, for messages
  std::filesystem::path target_;         // path_ with links resolved
  std::filesystem::path partial_;        // temporary file next to target_; empty: target_ is written in place
  std::optional<::mode_t> permissions_;  // of the file that is replaced
  Descriptor file_;
};

/// Writes a whole file through an AtomicFile.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace apam
