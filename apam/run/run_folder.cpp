#include "apam/run/run_folder.h"

#include <array>
#include <system_error>
#include <utility>

#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"

namespace apam::run {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kFiles{"config.json", "metrics.jsonl", "summary.json", "model.safetensors"};

}  // namespace

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
