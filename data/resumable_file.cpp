#include "data/resumable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kPause{50};

fs::path target_of(const fs::path& file) {
  std::error_code ignored;
  fs::path target = fs::is_symlink(file, ignored) ? fs::weakly_canonical(file, ignored) : file;
  const auto status = fs::status(target, ignored);
  require<InputError>(!fs::exists(status) || fs::is_regular_file(status), "write: {} is not a regular file", file.string());
  return target;
}

bool same_file(int descriptor, const fs::path& path) {
  struct stat open {
  }, named{};
  return ::fstat(descriptor, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

/// Also succeeds on file systems that cannot flush.
bool flush_descriptor(int descriptor) {
  return ::fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

}  // namespace

ResumableFile::ResumableFile(const fs::path& file, const WhileBusy& while_busy) : target_(target_of(file)), partial_(target_) {
  partial_ += ".partial";
  while (!try_lock()) {
    while_busy();
    std::this_thread::sleep_for(kPause);
  }
}

/// Opens the file and locks it. False: another process has the lock, or renamed or removed the file in between.
bool ResumableFile::try_lock() {
  file_ = Descriptor(::open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  int reason = errno;
  require<InputError>(file_.is_open(), "write: {} cannot be opened: {}", partial_.string(), reason_of(reason));
  const bool locked = ::flock(file_.get(), LOCK_EX | LOCK_NB) == 0;
  reason = errno;
  if (!locked && (reason == EWOULDBLOCK || reason == EINTR)) return false;
  require<InputError>(locked, "write: {} cannot be locked: {}", partial_.string(), reason_of(reason));
  return same_file(file_.get(), partial_);
}

std::uint64_t ResumableFile::size() const {
  struct stat status {};
  const bool examined = ::fstat(file_.get(), &status) == 0;
  const int reason = errno;
  require<InputError>(examined, "write: {} cannot be examined: {}", partial_.string(), reason_of(reason));
  return static_cast<std::uint64_t>(status.st_size);
}

void ResumableFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    const int reason = errno;
    if (got < 0 && reason == EINTR) continue;
    require<InputError>(got > 0, "write: {} cannot be read back at byte {}: {}", partial_.string(), offset,
                        got == 0 ? "it ends there" : reason_of(reason));
    offset += static_cast<std::uint64_t>(got);
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

void ResumableFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    const int reason = errno;
    if (put < 0 && reason == EINTR) continue;
    require<InputError>(put > 0, "write: {}: {} bytes cannot be written: {}", partial_.string(), bytes.size(),
                        reason_of(reason));
    offset += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void ResumableFile::resize(std::uint64_t bytes) {
  const bool resized = ::ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0;
  const int reason = errno;
  require<InputError>(resized, "write: {} cannot be resized to {} bytes: {}", partial_.string(), bytes, reason_of(reason));
}

void ResumableFile::flush() {
  const bool flushed = flush_descriptor(file_.get());
  const int reason = errno;
  require<InputError>(flushed, "write: {} cannot be flushed to disk: {}", partial_.string(), reason_of(reason));
}

void ResumableFile::commit() {
  flush();
  const bool renamed = ::rename(partial_.c_str(), target_.c_str()) == 0;
  const int reason = errno;
  require<InputError>(renamed, "write: {} cannot be replaced: {}", target_.string(), reason_of(reason));
  file_.close();
  const fs::path parent = target_.parent_path();
  const Descriptor folder(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.is_open()) flush_descriptor(folder.get());  // the file is complete; only the rename may be lost in a crash
}

void ResumableFile::discard() {
  ::unlink(partial_.c_str());
  file_.close();
}

}  // namespace apam::data
