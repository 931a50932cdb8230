#include "kernels/runtime/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <random>
#include <string>
#include <system_error>

#include "kernels/runtime/error.h"
#include "kernels/runtime/write_all.h"

namespace apam {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".apam-", kSuffix = ".partial";
constexpr int kMaxLinks = 40;  // as in Linux
constexpr int kMaxTries = 100;

/// Where the bytes of a file go.
struct Target {
  fs::path path;
  std::optional<::mode_t> permissions;  // of an existing regular file
  bool in_place = false;                // not a regular file: it cannot be replaced
  Descriptor open{};                    // duplicate of a descriptor that this process already has
};

/// N for /dev/fd/N, /proc/self/fd/N and the target of /dev/stdout. Such a descriptor is duplicated: opening the file again
/// would start at its beginning and overwrite earlier output.
std::optional<int> own_descriptor(const fs::path& path) {
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || number < 0) return {};
  std::error_code ignored;  // without /proc there are no such names
  const fs::path folder = fs::canonical(path.parent_path(), ignored);
  return !folder.empty() && folder == fs::canonical("/proc/self/fd", ignored) ? std::optional(number) : std::nullopt;
}

Target find_target(const fs::path& path) {
  fs::path at = path;
  for (int links = 0; links <= kMaxLinks; ++links) {
    if (const auto number = own_descriptor(at)) {
      Descriptor copy(::fcntl(*number, F_DUPFD_CLOEXEC, 0));
      const int reason = errno;
      require<InputError>(copy.is_open(), "write: {} cannot be opened: {}", path.string(), reason_of(reason));
      return {.path = at, .permissions = {}, .in_place = true, .open = std::move(copy)};
    }
    struct stat facts {};
    const bool exists = ::lstat(at.c_str(), &facts) == 0;
    const int reason = errno;
    if (!exists && reason == ENOENT) return {.path = at, .permissions = {}};
    require<InputError>(exists, "write: {} cannot be examined: {}", path.string(), reason_of(reason));
    require<InputError>(!S_ISDIR(facts.st_mode), "write: {} is a folder, expected a file", path.string());
    if (S_ISREG(facts.st_mode)) return {.path = at, .permissions = facts.st_mode & 07777U};
    if (!S_ISLNK(facts.st_mode)) return {.path = at, .permissions = {}, .in_place = true};
    std::error_code error;
    const fs::path next = at.parent_path() / fs::read_symlink(at, error);
    require<InputError>(!error, "write: {}: the link {} cannot be read: {}", path.string(), at.string(), error.message());
    // Links in another process's /proc/PID/fd read like "pipe:[4711]": no such path exists, but the link can be opened.
    const bool magic_link = ::stat(at.c_str(), &facts) == 0 && ::lstat(next.c_str(), &facts) != 0;
    if (magic_link) return {.path = at, .permissions = {}, .in_place = true};
    at = next;
  }
  fail<InputError>("write: {}: chain of more than {} symbolic links", path.string(), kMaxLinks);
}

/// Retries if interrupted by a signal: opening a FIFO waits for its reader.
int open_file(const fs::path& path, int flags, ::mode_t mode) {
  for (;;) {
    const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (descriptor >= 0 || errno != EINTR) return descriptor;
  }
}

/// Also succeeds for files that cannot be flushed, such as pipes. Sets errno on failure.
bool flush_to_disk(int descriptor) { return ::fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS; }

/// Makes a rename durable. A folder that is writable but not readable cannot be opened and is skipped.
void sync_folder_of(const fs::path& path, const fs::path& shown) {
  const fs::path parent = path.parent_path();
  const Descriptor folder(open_file(parent.empty() ? fs::path(".") : parent, O_RDONLY | O_DIRECTORY, 0));
  if (!folder.is_open()) return;
  const bool flushed = flush_to_disk(folder.get());
  const int reason = errno;
  require<InputError>(flushed, "write: {}: its folder cannot be flushed to disk: {}", shown.string(), reason_of(reason));
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& path) : path_(path) {
  Target target = find_target(path);
  target_ = std::move(target.path);
  permissions_ = target.permissions;
  if (!target.in_place) {
    open_partial();
  } else if (target.open.is_open()) {
    file_ = std::move(target.open);
  } else {
    file_ = Descriptor(open_file(target_, O_WRONLY | O_NOCTTY, 0));
    const int reason = errno;
    require<InputError>(file_.is_open(), "write: {} cannot be opened: {}", path_.string(), reason_of(reason));
  }
}

/// The name is random: several hosts may write to the folder, and process IDs repeat.
void AtomicFile::open_partial() {
  std::random_device random;
  int reason = EEXIST;
  for (int tries = 0; tries < kMaxTries && reason == EEXIST; ++tries) {
    partial_ = target_.parent_path() / fmt::format("{}{}-{:08x}{:08x}{}", kPrefix, ::getpid(), random(), random(), kSuffix);
    // The replacement of a private file must never be readable by others, even while it is written.
    file_ = Descriptor(open_file(partial_, O_WRONLY | O_CREAT | O_EXCL, permissions_ ? 0600 : 0666));
    reason = errno;
    if (file_.is_open()) return;
  }
  require<InputError>(false, "write: {} cannot be created: {}", path_.string(), reason_of(reason));
}

AtomicFile::~AtomicFile() {
  if (file_.is_open() && !partial_.empty()) ::unlink(partial_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  const auto [missing, error] = write_all(file_.get(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  require<InputError>(missing == 0, "write: {}: {} bytes cannot be written: {}", path_.string(), missing, reason_of(error));
}

void AtomicFile::commit() {
  if (permissions_) {
    const bool kept = ::fchmod(file_.get(), *permissions_) == 0;
    const int reason = errno;
    require<InputError>(kept, "write: {} cannot keep its permissions {:o}: {}", path_.string(), *permissions_,
                        reason_of(reason));
  }
  const bool flushed = flush_to_disk(file_.get());
  int reason = errno;
  require<InputError>(flushed, "write: {} cannot be flushed to disk: {}", path_.string(), reason_of(reason));
  if (!partial_.empty()) {
    const bool renamed = ::rename(partial_.c_str(), target_.c_str()) == 0;
    reason = errno;
    require<InputError>(renamed, "write: {} cannot be replaced: {}", path_.string(), reason_of(reason));
  }
  file_.close();
  if (!partial_.empty()) sync_folder_of(target_, path_);
}

void AtomicFile::check(const fs::path& path) {
  const Target target = find_target(path);
  if (!target.in_place) {
    const AtomicFile probe(path);
  } else if (!target.open.is_open()) {
    const bool writable = ::access(target.path.c_str(), W_OK) == 0;
    const int reason = errno;
    require<InputError>(writable, "write: {} cannot be opened: {}", path.string(), reason_of(reason));
  }
}

bool AtomicFile::is_leftover(std::string_view name) { return name.starts_with(kPrefix) && name.ends_with(kSuffix); }

void write_file(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace apam
