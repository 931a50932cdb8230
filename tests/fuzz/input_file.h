// The input of a fuzz target as a file, for readers that open files. The file is in memory.
#pragma once

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>

#include "kernels/runtime/descriptor.h"

namespace apam::fuzz {

/// Ends the process unless `condition` holds: the target cannot run.
inline void need(bool condition, const char* what) {
  if (condition) return;
  std::perror(what);
  std::exit(1);
}

class InputFile {
 public:
  InputFile() : file_(::memfd_create("input", MFD_CLOEXEC)) {
    need(file_.is_open(), "memfd_create");
    path_ = "/proc/self/fd/" + std::to_string(file_.get());
  }

  void set(std::span<const std::uint8_t> bytes) const {
    need(::ftruncate(file_.get(), 0) == 0, "ftruncate");
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t written = ::pwrite(file_.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
      need(written > 0, "pwrite");
      at += static_cast<std::size_t>(written);
    }
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  Descriptor file_;
  std::filesystem::path path_;
};

/// A temporary folder in which each of `names` is the input file.
class InputFolder {
 public:
  InputFolder(const InputFile& file, std::initializer_list<const char*> names) {
    std::string name = (std::filesystem::temp_directory_path() / "apam_fuzz_XXXXXX").string();
    need(::mkdtemp(name.data()) != nullptr, "mkdtemp");
    path_ = name;
    for (const char* link : names) std::filesystem::create_symlink(file.path(), path_ / link);
  }
  ~InputFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  InputFolder(const InputFolder&) = delete;
  InputFolder& operator=(const InputFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace apam::fuzz
