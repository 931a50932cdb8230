#include "apam/run/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam::run {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kFiles{"config.json", "metrics.jsonl", "summary.json", "model.safetensors"};

std::string reason() { return std::generic_category().message(errno); }

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

void write_all(const Descriptor& file, std::string_view content, const fs::path& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    require<InputError>(written > 0, "{}: cannot write: {}", path.string(), reason());
    content.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

void write_file(const fs::path& path, std::string_view content) {
  const fs::path fresh = path.string() + ".part";
  {
    const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    require<InputError>(file.get() >= 0, "{}: cannot write: {}", path.string(), reason());
    write_all(file, content, path);
    require<InputError>(::fsync(file.get()) == 0, "{}: cannot write: {}", path.string(), reason());
  }
  require<InputError>(::rename(fresh.c_str(), path.c_str()) == 0, "{}: cannot write: {}", path.string(), reason());
}

RunFolder::RunFolder(fs::path path, Overwrite overwrite) : path_(std::move(path)) {
  std::error_code error;
  const fs::file_status status = fs::status(path_, error);
  require<InputError>(!fs::exists(status) || fs::is_directory(status), "--out {}: this is no folder", path_.string());
  if (fs::is_directory(status)) {
    const bool empty = fs::is_empty(path_, error);
    require<InputError>(!error, "--out {}: cannot read the folder: {}", path_.string(), error.message());
    require<InputError>(empty || overwrite == Overwrite::allow,
                        "--out {}: the folder is not empty; name another one, or replace the run with --overwrite",
                        path_.string());
  }
  fs::create_directories(path_, error);
  require<InputError>(!error, "--out {}: cannot make the folder: {}", path_.string(), error.message());
  const fs::path probe = path_ / ".probe";
  write_file(probe, "");
  fs::remove(probe, error);
  for (const auto file : kFiles) {
    fs::remove(path_ / file, error);
    require<InputError>(!error, "{}: cannot be replaced: {}", (path_ / file).string(), error.message());
  }
}

void RunFolder::write_config(const Json& config) const { write_file(path_ / "config.json", config.dump(2) + "\n"); }

void RunFolder::write_summary(const Json& summary) const { write_file(path_ / "summary.json", summary.dump(2) + "\n"); }

void RunFolder::add_metrics(const Json& line) {
  const fs::path path = path_ / "metrics.jsonl";
  if (!metrics_.is_open()) metrics_.open(path, std::ios::app);
  metrics_ << line.dump() << '\n' << std::flush;
  require<InputError>(metrics_.good(), "{}: cannot write", path.string());
}

}  // namespace apam::run
