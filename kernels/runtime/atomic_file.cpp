#include "kernels/runtime/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>

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
constexpr int kMostLinks = 40;   // as many as Linux follows
constexpr int kMostNames = 100;  // that may be taken already

/// Where the bytes of a file go.
struct Target {
  fs::path place;
  std::optional<::mode_t> permissions;  // of a regular file that is there
  bool through = false;                 // no regular file: it cannot be replaced
  Descriptor open{};                    // one that this process has open already
};

/// The number in /dev/fd/N, /proc/self/fd/N and where /dev/stdout leads: to open such a file again would start at its
/// beginning, over what was printed to it.
std::optional<int> own_descriptor(const fs::path& path) {
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || number < 0) return {};
  std::error_code ignored;  // no /proc, no such names
  const fs::path folder = fs::canonical(path.parent_path(), ignored);
  return !folder.empty() && folder == fs::canonical("/proc/self/fd", ignored) ? std::optional(number) : std::nullopt;
}

Target find_target(const fs::path& path) {
  fs::path at = path;
  for (int links = 0; links <= kMostLinks; ++links) {
    if (const auto number = own_descriptor(at)) {
      Descriptor copy(::fcntl(*number, F_DUPFD_CLOEXEC, 0));
      const int reason = errno;
      require<InputError>(copy.is_open(), "write: {} cannot be opened: {}", path.string(), reason_of(reason));
      return {.place = at, .permissions = {}, .through = true, .open = std::move(copy)};
    }
    struct stat facts {};
    const bool there = ::lstat(at.c_str(), &facts) == 0;
    const int reason = errno;
    if (!there && reason == ENOENT) return {.place = at, .permissions = {}};
    require<InputError>(there, "write: {} cannot be examined: {}", path.string(), reason_of(reason));
    require<InputError>(!S_ISDIR(facts.st_mode), "write: {} is a folder, expected a file", path.string());
    if (S_ISREG(facts.st_mode)) return {.place = at, .permissions = facts.st_mode & 07777U};
    if (!S_ISLNK(facts.st_mode)) return {.place = at, .permissions = {}, .through = true};
    std::error_code error;
    const fs::path next = at.parent_path() / fs::read_symlink(at, error);
    require<InputError>(!error, "write: {}: the link {} cannot be read: {}", path.string(), at.string(), error.message());
    // A link of another process in /proc reads like "pipe:[4711]", and leads there all the same.
    const bool leads_elsewhere = ::stat(at.c_str(), &facts) == 0 && ::lstat(next.c_str(), &facts) != 0;
    if (leads_elsewhere) return {.place = at, .permissions = {}, .through = true};
    at = next;
  }
  fail<InputError>("write: {}: more than {} symbolic links follow one another", path.string(), kMostLinks);
}

/// Opens again when a signal came in between: a FIFO waits for its reader.
int open_file(const fs::path& path, int flags, ::mode_t mode) {
  for (;;) {
    const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (descriptor >= 0 || errno != EINTR) return descriptor;
  }
}

/// Whether the bytes have reached the disk; what is no file on a disk has none to reach. Leaves errno.
bool reaches_disk(int descriptor) { return ::fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS; }

/// Renaming is on the disk when the folder is. One that may be written but not read cannot be asked.
void sync_folder_of(const fs::path& path, const fs::path& shown) {
  const fs::path parent = path.parent_path();
  const Descriptor folder(open_file(parent.empty() ? fs::path(".") : parent, O_RDONLY | O_DIRECTORY, 0));
  if (!folder.is_open()) return;
  const bool good = reaches_disk(folder.get());
  const int reason = errno;
  require<InputError>(good, "write: {}: its folder does not reach the disk: {}", shown.string(), reason_of(reason));
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& path) : path_(path) {
  Target target = find_target(path);
  place_ = std::move(target.place);
  permissions_ = target.permissions;
  if (!target.through) {
    open_partial();
  } else if (target.open.is_open()) {
    file_ = std::move(target.open);
  } else {
    file_ = Descriptor(open_file(place_, O_WRONLY | O_NOCTTY, 0));
    const int reason = errno;
    require<InputError>(file_.is_open(), "write: {} cannot be opened: {}", path_.string(), reason_of(reason));
  }
}

/// The name is drawn: several hosts may write to one folder, and process numbers repeat.
void AtomicFile::open_partial() {
  std::random_device random;
  int reason = EEXIST;
  for (int tries = 0; tries < kMostNames && reason == EEXIST; ++tries) {
    partial_ = place_.parent_path() / fmt::format("{}{}-{:08x}{:08x}{}", kPrefix, ::getpid(), random(), random(), kSuffix);
    // What replaces a private file is never readable by others, not even while it is written.
    file_ = Descriptor(open_file(partial_, O_WRONLY | O_CREAT | O_EXCL, permissions_ ? 0600 : 0666));
    reason = errno;
    if (file_.is_open()) return;
  }
  require<InputError>(false, "write: {} cannot be made: {}", path_.string(), reason_of(reason));
}

AtomicFile::~AtomicFile() {
  if (file_.is_open() && !partial_.empty()) ::unlink(partial_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  const auto [missing, error] = write_all(file_.get(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  require<InputError>(missing == 0, "write: {} does not take {} bytes more: {}", path_.string(), missing, reason_of(error));
}

void AtomicFile::commit() {
  if (permissions_) {
    const bool kept = ::fchmod(file_.get(), *permissions_) == 0;
    const int reason = errno;
    require<InputError>(kept, "write: {} cannot keep its permissions {:o}: {}", path_.string(), *permissions_,
                        reason_of(reason));
  }
  const bool on_disk = reaches_disk(file_.get());
  int reason = errno;
  require<InputError>(on_disk, "write: {} does not reach the disk: {}", path_.string(), reason_of(reason));
  if (!partial_.empty()) {
    const bool renamed = ::rename(partial_.c_str(), place_.c_str()) == 0;
    reason = errno;
    require<InputError>(renamed, "write: {} cannot be replaced: {}", path_.string(), reason_of(reason));
  }
  file_.close();
  if (!partial_.empty()) sync_folder_of(place_, path_);
}

bool AtomicFile::is_leftover(std::string_view name) { return name.starts_with(kPrefix) && name.ends_with(kSuffix); }

void write_file(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace apam
