// A new folder belongs to the process whose mkdir() succeeds; a lock decides about an existing one. The lock ends with the
// process, however that ends.
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
#include "kernels/runtime/write_all.h"

namespace apam::training {
namespace {

namespace fs = std::filesystem;

// Of an older run. config.json is not listed: it is replaced in one step.
constexpr std::array<std::string_view, 6> kOldFiles{"summary.json",    "metrics.jsonl",     "epochs.csv",
                                                    RunFolder::kOrder, "model.safetensors", RunFolder::kCheckpoint};
constexpr std::array<const char*, 3> kGrowing{"metrics.jsonl", "epochs.csv", RunFolder::kOrder};

/// Whether the folder is empty, apart from files that a killed writer left.
bool holds_nothing(const fs::path& folder) {
  std::error_code error;
  bool empty = true;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    empty = empty && AtomicFile::is_leftover(entry->path().filename().string());
  }
  require<InputError>(!error, "--out {}: cannot read the folder: {}", folder.string(), error.message());
  return empty;
}

/// A lock on the folder; none on network file systems that cannot lock folders.
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

/// Whether this call made the folder; false: the name exists.
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
  for (int number = 2; !make() && existing == Existing::next_free; ++number) {
    path_ = name;
    path_ += fmt::format("-{}", number);
  }
  if (!made_) {
    std::error_code ignored;  // not a folder then
    require<InputError>(fs::is_directory(path_, ignored), "--out {}: is not a folder", path_.string());
  }
  lock_ = lock(path_);
  require<InputError>(made_ || existing == Existing::replace || holds_nothing(path_),
                      "--out {}: the folder is not empty; name another one, or continue the run with --resume, or "
                      "replace it with --overwrite",
                      path_.string());
}

RunFolder::~RunFolder() {
  config_.reset();
  if (made_ && !started_) ::rmdir(path_.c_str());  // deliberately fails if it is not empty
}

void RunFolder::write_config(const Json& config) {
  config_.emplace(path_ / "config.json");
  config_->write(config.dump(2) + "\n");
}

void RunFolder::start() {
  if (std::exchange(started_, true)) return;
  if (config_) config_->commit();
  config_.reset();
  std::error_code error;
  if (!resumed_) {
    for (const auto name : kOldFiles) {
      if (keeps_model_ && path_ / name == model()) continue;
      fs::remove(path_ / name, error);
      require<InputError>(!error, "{}: cannot be replaced: {}", (path_ / name).string(), error.message());
    }
    return;
  }
  fs::remove(path_ / "summary.json", error);
  for (const auto& [name, size] : *resumed_) {
    if (size > 0) fs::resize_file(path_ / name, static_cast<std::uintmax_t>(size), error);
    if (size == 0) fs::remove(path_ / name, error);
    require<InputError>(!error, "{}: cannot be cut to {} bytes: {}", (path_ / name).string(), size, error.message());
  }
}

void RunFolder::keep_model(const fs::path& file) {
  std::error_code ignored;  // they need not exist
  keeps_model_ = fs::equivalent(file, model(), ignored);
}

std::map<std::string, std::int64_t> RunFolder::sizes() const {
  std::map<std::string, std::int64_t> sizes;
  for (const char* const name : kGrowing) {
    std::error_code error;
    const auto size = fs::file_size(path_ / name, error);
    sizes[name] = error ? 0 : static_cast<std::int64_t>(size);
  }
  return sizes;
}

void RunFolder::resume_at(const std::map<std::string, std::int64_t>& wanted) {
  const auto present = sizes();
  for (const auto& [name, size] : present) {
    const auto of_checkpoint = wanted.find(name);
    if (of_checkpoint == wanted.end() && size == 0) continue;
    require<InputError>(of_checkpoint != wanted.end(), "{}: knows no size of {}", checkpoint().string(), name);
    require<InputError>(size >= of_checkpoint->second, "{}: has {} bytes, expected at least the {} of the checkpoint",
                        (path_ / name).string(), size, of_checkpoint->second);
  }
  resumed_ = wanted;
}

void RunFolder::reserve(std::size_t bytes) {
  reserve_ = Descriptor(::open(path_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!reserve_.is_open()) return;
  const int error = ::posix_fallocate(reserve_.get(), 0, static_cast<::off_t>(bytes));
  require<InputError>(error != ENOSPC && error != EDQUOT && error != EFBIG,
                      "--out {}: the {:.1f} MiB of the results are not available: {}", path_.string(),
                      static_cast<double>(bytes) / (1024.0 * 1024.0), reason_of(error));
  if (error != 0) reserve_.close();
}

void RunFolder::remove_checkpoint() const {
  std::error_code ignored;  // it may not exist
  fs::remove(checkpoint(), ignored);
}

void RunFolder::add_metrics(const Json& line) { append(metrics_, "metrics.jsonl", line.dump()); }

void RunFolder::add_epoch(const std::string& line) { append(epochs_, "epochs.csv", line); }

void RunFolder::add_order(const std::string& lines) { append(order_, kOrder, lines); }

void RunFolder::append(Descriptor& file, const char* name, const std::string& line) {
  start();
  const fs::path path = path_ / name;
  if (!file.is_open()) {
    file = Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    const int reason = errno;
    require<InputError>(file.is_open(), "write: {} cannot be opened: {}", path.string(), reason_of(reason));
  }
  const ::off_t length = ::lseek(file.get(), 0, SEEK_END);
  const auto [missing, error] = write_all(file.get(), line + "\n");
  if (missing == 0) return;
  // Half a line would spoil the file. If it cannot be removed either, the first error is still the one to report.
  [[maybe_unused]] const bool whole = ::ftruncate(file.get(), length) == 0;
  fail<InputError>("write: {}: {} bytes cannot be written: {}", path.string(), missing, reason_of(error));
}

void RunFolder::write_summary(const Json& summary) {
  start();
  write_file(path_ / "summary.json", summary.dump(2) + "\n");
}

}  // namespace apam::training
