// A small disk for tests with a full disk. Mounting it needs root.
#pragma once

#include <sys/mount.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "kernels/runtime/error.h"
#include "tests/support/temporary_folder.h"

namespace apam::support {

/// A disk of 64 KiB.
class SmallDisk {
 public:
  SmallDisk() : mounted_(::mount("apam-test", folder_.path().c_str(), "tmpfs", 0, "size=64k") == 0), reason_(errno) {}
  ~SmallDisk() {
    if (mounted_) ::umount(folder_.path().c_str());
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  std::filesystem::path path() const { return folder_.path(); }
  bool mounted() const { return mounted_; }
  std::string reason() const { return reason_of(reason_); }

 private:
  TemporaryFolder folder_;
  bool mounted_;
  int reason_;
};

}  // namespace apam::support
