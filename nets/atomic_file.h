// A file that appears whole or not at all: written under another name in the same folder, renamed when it is complete.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace apam::nets {

class AtomicFile {
 public:
  /// Throws InputError when the folder does not take a new file.
  explicit AtomicFile(const std::filesystem::path& path);
  /// Removes what was written unless commit() was reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws InputError when the bytes do not fit.
  void write(std::span<const std::byte> bytes);
  /// Brings the bytes to the disk and the file to its name, in place of what stood there. Throws InputError.
  void commit();

 private:
  std::filesystem::path path_, partial_;
  int descriptor_ = -1;
};

}  // namespace apam::nets
