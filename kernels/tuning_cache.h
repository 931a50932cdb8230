// Decisions of `auto` in a file, so that a machine times a problem once. Processes that share the file take turns: while one
// times and stores, the others wait. So ranks on one host do not disturb each other's timings and make the same choices. A
// lookup does not wait: the file is replaced atomically.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "kernels/runtime/kernel_decisions.h"

namespace apam::kernels {

/// How long to wait for a turn, and where to report it.
struct CachePatience {
  std::chrono::milliseconds limit{30'000};           ///< after this, continue without the file
  std::chrono::milliseconds report_after{1'000};     ///< after this, report which process holds the lock
  std::function<void(const std::string&)> report{};  ///< receives one line; empty: standard error
  std::function<bool()> give_up{};                   ///< polled while waiting; true ends the wait; empty: never
};

/// The file in `folder` for this build and machine: sources and flags of the kernels, compiler, libraries, CPU model and
/// instruction set, since timings of other kernels do not apply. An empty folder stores nothing. A folder that is not writable,
/// a full disk and a wait that ends without the lock are reported once; after that, nothing is stored.
class TuningCache {
 public:
  /// Holds the lock of the file; held() is false if there is no lock.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept : lock_(std::exchange(other.lock_, -1)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();
    bool held() const { return lock_ >= 0; }

   private:
    friend class TuningCache;
    explicit Turn(int lock) : lock_(lock) {}
    int lock_ = -1;
  };

  /// `platform`: what timings depend on besides the build and the CPU, part of the file's name.
  explicit TuningCache(const std::filesystem::path& folder, CachePatience patience = {}, const std::string& platform = {});

  /// The decision for `key`, or nothing if there is none or it is malformed.
  std::optional<KernelDecision> find(const std::string& key) const;

  /// Waits for the lock, until the limit or a signal. After a wait without success, later calls do not wait.
  Turn take_turn();

  /// Stores a decision if the turn is held.
  void store(const Turn& turn, const std::string& key, const KernelDecision& decision);

  const std::filesystem::path& file() const { return file_; }

 private:
  int open_lock();
  bool wait_for(int lock);
  void go_on_without(const std::string& why);

  std::filesystem::path file_;
  CachePatience patience_;
  bool without_ = false;  // nothing is stored from now on
};

/// The processor's name by the operating system: "AMD EPYC".
std::string cpu_model();

/// "available", or why there is no AMX: "the processor has no AMX".
std::string amx_status();

}  // namespace apam::kernels
