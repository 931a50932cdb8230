#include "kernels/tuning_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "kernels/fingerprint.h"
#include "kernels/runtime/decision_json.h"
#include "kernels/runtime/error.h"

namespace apam::kernels {
namespace {

/// Letters and digits, for the name of a file.
std::string plain(std::string text) {
  for (char& letter : text) letter = std::isalnum(static_cast<unsigned char>(letter)) != 0 ? letter : '-';
  return text;
}

nlohmann::json read(const std::filesystem::path& file) {
  std::ifstream in(file);
  auto content = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  return content.is_object() ? content : nlohmann::json::object();  // a damaged cache is an empty one
}

}  // namespace

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

TuningCache::TuningCache(const std::filesystem::path& folder) {
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const char* isa = std::getenv("APAM_ISA");
  file_ = folder / fmt::format("kernels-{}-{}{}.json", kFingerprint, plain(cpu_model()), plain(isa == nullptr ? "" : isa));
  lock_ = ::open((file_.string() + ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0 || ::flock(lock_, LOCK_EX) != 0) file_.clear();  // no place to keep timings: time in every process
}

TuningCache::~TuningCache() {
  if (lock_ >= 0) ::close(lock_);
}

std::optional<KernelDecision> TuningCache::find(const std::string& key) const {
  if (file_.empty()) return {};
  const auto content = read(file_);
  const auto found = content.find(key);
  return found == content.end() ? std::nullopt : decision_from_json(*found);
}

void TuningCache::store(const std::string& key, const KernelDecision& decision) {
  if (file_.empty()) return;
  auto content = read(file_);
  content[key] = to_json(decision);
  const std::filesystem::path fresh = file_.string() + ".new";
  std::ofstream(fresh) << content.dump(1) << '\n';
  std::error_code error;
  std::filesystem::rename(fresh, file_, error);
}

}  // namespace apam::kernels
