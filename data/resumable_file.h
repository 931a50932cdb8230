// A large file that appears under its name only when it is complete, and whose writing survives an interruption.
//
// The content grows in NAME.partial, in the same folder. commit() flushes it to disk and renames it. If the process ends
// earlier, NAME.partial stays, and the next ResumableFile for NAME continues it. A lock on NAME.partial lets one process at a
// time write; it ends with the process. Symbolic links to the file are followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

#include "kernels/runtime/descriptor.h"

namespace apam::data {

class ResumableFile {
 public:
  /// Called about every 50 ms while another process writes the file. May throw to end the wait.
  using WhileBusy = std::function<void()>;

  /// Opens or creates NAME.partial and locks it. Throws InputError if that is impossible, or if `file` exists and is not a
  /// regular file.
  ResumableFile(const std::filesystem::path& file, const WhileBusy& while_busy);

  const std::filesystem::path& partial() const { return partial_; }
  std::uint64_t size() const;  ///< of NAME.partial, in bytes

  /// Throw InputError if not all bytes can be read or written.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;
  void write(std::uint64_t offset, std::span<const std::byte> bytes);
  void resize(std::uint64_t bytes);

  /// Waits until everything written is on disk.
  void flush();

  /// Flushes, then renames NAME.partial to NAME.
  void commit();

  /// Removes NAME.partial.
  void discard();

 private:
  bool try_lock();

  std::filesystem::path target_, partial_;
  Descriptor file_;
};

}  // namespace apam::data
