#include "nets/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "kernels/runtime/error.h"

namespace apam::nets {
namespace {

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path)
    : path_(path), partial_(path.string() + fmt::format(".{}.partial", ::getpid())) {
  descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  require<InputError>(descriptor_ >= 0, "write: {} cannot be made: {}", partial_.string(), reason());
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(partial_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    require<InputError>(written >= 0, "write: {} does not take {} bytes more: {}", partial_.string(), bytes.size(), reason());
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  const bool on_disk = ::fsync(descriptor_) == 0;
  require<InputError>(on_disk, "write: {} does not reach the disk: {}", partial_.string(), reason());
  const bool renamed = ::rename(partial_.c_str(), path_.c_str()) == 0;
  require<InputError>(renamed, "write: {} cannot be renamed to {}: {}", partial_.string(), path_.string(), reason());
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace apam::nets
