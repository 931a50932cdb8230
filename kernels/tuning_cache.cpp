#include "kernels/tuning_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "kernels/fingerprint.h"
#include "kernels/providers.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/decision_json.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/host_name.h"

namespace apam::kernels {
namespace {

/// The text with other characters than letters and digits replaced, for a file name.
std::string plain(std::string text) {
  for (char& letter : text) letter = std::isalnum(static_cast<unsigned char>(letter)) != 0 ? letter : '-';
  return text;
}

nlohmann::json read(const std::filesystem::path& file) {
  std::ifstream in(file);
  auto content = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  return content.is_object() ? content : nlohmann::json::object();  // a damaged cache counts as empty
}

std::string error_text(int code) { return std::generic_category().message(code); }

/// The text that the holder of a lock wrote into it.
std::string holder_of(int lock) {
  std::array<char, 300> text{};
  const auto size = ::pread(lock, text.data(), text.size(), 0);
  const std::string_view line(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return line.empty() ? "another process" : std::string(line.substr(0, line.find('\n')));
}

}  // namespace

std::string amx_status() {
  const std::string& absence = cpu::amx_absence();
  return absence.empty() ? "available" : absence;
}

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

TuningCache::TuningCache(const std::filesystem::path& folder, CachePatience patience, const std::string& platform)
    : patience_(std::move(patience)) {
  if (!patience_.report) patience_.report = [](const std::string& line) { std::cerr << line << std::endl; };
  if (folder.empty()) return;
  file_ = folder / fmt::format("kernels-{}-{}-{}{}.json", kFingerprint, plain(cpu_model()),
                               plain(std::string(cpu::instruction_set())), plain(platform));
}

std::optional<KernelDecision> TuningCache::find(const std::string& key) const {
  if (file_.empty()) return {};
  const auto content = read(file_);
  const auto found = content.find(key);
  return found == content.end() ? std::nullopt : decision_from_json(*found);
}

TuningCache::Turn::~Turn() {
  if (lock_ >= 0) ::close(lock_);
}

TuningCache::Turn TuningCache::take_turn() {
  if (file_.empty() || without_) return {};
  Turn turn(open_lock());
  if (!turn.held() || !wait_for(turn.lock_)) return {};
  const std::string holder = fmt::format("process {} on {}\n", ::getpid(), host_name());
  if (::ftruncate(turn.lock_, 0) == 0) {
    // For the messages of waiting processes. A full disk is reported when the cache itself is written.
    [[maybe_unused]] const auto written = ::pwrite(turn.lock_, holder.data(), holder.size(), 0);
  }
  return turn;
}

int TuningCache::open_lock() {
  std::error_code error;
  std::filesystem::create_directories(file_.parent_path(), error);
  const int lock = ::open((file_.string() + ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock < 0) go_on_without(fmt::format("cannot lock {}: {}", file_.string(), error_text(errno)));
  return lock;
}

// Polls: a blocking flock() would not end after a time limit, nor for a signal that is blocked and polled.
bool TuningCache::wait_for(int lock) {
  using Clock = std::chrono::steady_clock;
  constexpr timespec kPause{0, 20'000'000};
  const auto begin = Clock::now();
  for (bool reported = false;;) {
    if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK && errno != EINTR) {
      go_on_without(fmt::format("cannot lock {}: {}", file_.string(), error_text(errno)));
      return false;
    }
    const auto waited = Clock::now() - begin;
    const auto of = [&] { return fmt::format("{}, which holds {}.lock", holder_of(lock), file_.string()); };
    if (waited >= patience_.limit) {
      go_on_without(fmt::format("waited {:.1f} s for {}", std::chrono::duration<double>(waited).count(), of()));
      return false;
    }
    if (!reported && waited >= patience_.report_after) {
      reported = true;
      patience_.report(fmt::format("kernel cache: waiting for {}, for {:.1f} s at most", of(),
                                   std::chrono::duration<double>(patience_.limit).count()));
    }
    if ((patience_.give_up && patience_.give_up()) || ::nanosleep(&kPause, nullptr) != 0) {
      go_on_without(fmt::format("a signal arrived while waiting for {}", of()));
      return false;
    }
  }
}

void TuningCache::store(const Turn& turn, const std::string& key, const KernelDecision& decision) {
  if (!turn.held() || without_) return;
  auto content = read(file_);
  content[key] = to_json(decision);
  try {
    write_file(file_, content.dump(1) + '\n');
  } catch (const Error& error) {
    go_on_without(error.what());
  }
}

void TuningCache::go_on_without(const std::string& why) {
  if (!without_) patience_.report(fmt::format("kernel cache: {}; timings are kept in memory only", why));
  without_ = true;
}

}  // namespace apam::kernels
