// Who owns a folder is settled by mkdir(), which only one of several can succeed in, and by a lock on a folder that was there
// before. The lock ends with the process, however that ends.
#include "apam/training/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam::training {
namespace {

namespace fs = std::filesystem;

// Of an older run; config.json is replaced in one step.
constexpr std::array<std::string_view, 3> kOldFiles{"summary.json", "metrics.jsonl", "model.safetensors"};

/// Whether there is anything but what a writer left when it was killed.
bool holds_nothing(const fs::path& folder) {
  std::error_code error;
  bool empty = true;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    empty = empty && AtomicFile::is_leftover(entry->path().filename().string());
  }
  require<InputError>(!error, "--out {}: cannot read the folder: {}", folder.string(), error.message());
  return empty;
}

/// A lock on the folder, or nothing where folders cannot be locked, on some network file systems.
Descriptor lock(const fs::path& folder) {
  Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int reason = errno;
  require<InputError>(descriptor.is_open(), "--out {}: cannot read the folder: {}", folder.string(), reason_of(reason));
  const bool locked = ::flock(descriptor.get(), LOCK_EX | LOCK_NB) == 0;
  reason = errno;
  require<InputError>(locked || reason != EWOULDBLOCK, "--out {}: another run is writing to this folder", folder.string());
  return descriptor;
}

}  // namespace

/// Whether this call made the folder; false: something of that name is there.
bool RunFolder::make() {
  std::error_code error;
  if (path_.has_parent_path()) fs::create_directories(path_.parent_path(), error);
  require<InputError>(!error, "--out {}: cannot make the folder: {}", path_.string(), error.message());
  made_ = ::mkdir(path_.c_str(), 0777) == 0;
  const int reason = errno;
  require<InputError>(made_ || reason == EEXIST, "--out {}: cannot make the folder: {}", path_.string(), reason_of(reason));
  return made_;
}

RunFolder::RunFolder(fs::path path, Existing existing) : path_(std::move(path)) {
  const fs::path name = path_;
  for (int number = 2; !make() && existing == Existing::pass_over; ++number) {
    path_ = name;
    path_ += fmt::format("-{}", number);
  }
  if (!made_) {
    std::error_code ignored;  // then it is no folder
    require<InputError>(fs::is_directory(path_, ignored), "--out {}: this is no folder", path_.string());
  }
  lock_ = lock(path_);
  require<InputError>(made_ || existing == Existing::replace || holds_nothing(path_),
                      "--out {}: the folder is not empty; name another one, or replace the run with --overwrite",
                      path_.string());
}

RunFolder::~RunFolder() {
  config_.reset();
  if (made_ && !started_) ::rmdir(path_.c_str());  // fails when something is there after all, and so it should
}

void RunFolder::write_config(const Json& config) {
  config_.emplace(path_ / "config.json");
  config_->write(config.dump(2) + "\n");
}

void RunFolder::start() {
  if (std::exchange(started_, true)) return;
  if (config_) config_->commit();
  config_.reset();
  for (const auto name : kOldFiles) {
    std::error_code error;
    fs::remove(path_ / name, error);
    require<InputError>(!error, "{}: cannot be replaced: {}", (path_ / name).string(), error.message());
  }
}

void RunFolder::add_metrics(const Json& line) {
  start();
  const fs::path path = path_ / "metrics.jsonl";
  if (!metrics_.is_open()) {
    metrics_ = Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    const int reason = errno;
    require<InputError>(metrics_.is_open(), "write: {} cannot be opened: {}", path.string(), reason_of(reason));
  }
  const std::string text = line.dump() + "\n";
  const ::off_t length = ::lseek(metrics_.get(), 0, SEEK_END);
  std::string_view rest = text;
  while (!rest.empty()) {
    const ::ssize_t written = ::write(metrics_.get(), rest.data(), rest.size());
    const int reason = written < 0 ? errno : ENOSPC;
    if (written < 0 && reason == EINTR) continue;
    if (written <= 0) {
      // Half a line would spoil what was written before; where it cannot be taken back, the reason says all that is known.
      [[maybe_unused]] const bool whole = ::ftruncate(metrics_.get(), length) == 0;
      fail<InputError>("write: {} does not take {} bytes more: {}", path.string(), rest.size(), reason_of(reason));
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

void RunFolder::write_summary(const Json& summary) {
  start();
  write_file(path_ / "summary.json", summary.dump(2) + "\n");
}

}  // namespace apam::training
