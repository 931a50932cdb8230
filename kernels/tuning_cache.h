// Decisions of `auto`, kept in a file so that a machine times a problem once. Processes that share the file take turns: while
// one times and stores, the others wait, so that ranks on one host neither disturb each other's timings nor come to different
// choices. A lookup does not wait: the file is replaced whole, and a reader never sees half of one.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "kernels/runtime/kernel_decisions.h"

namespace apam::kernels {

/// How long to wait for a turn, and where to say so.
struct CachePatience {
  std::chrono::milliseconds limit{30'000};        ///< at most; then go on without the file
  std::chrono::milliseconds word_after{1'000};    ///< then say which process holds the lock
  std::function<void(const std::string&)> say{};  ///< receives one line; empty: standard error
  std::function<bool()> give_up{};                ///< asked while waiting; true ends the wait; empty: never
};

/// The file of one build on one machine (sources and flags of the kernels, compiler, libraries, CPU model, APAM_ISA) in a
/// folder: timings of other kernels would mislead. An empty folder name keeps nothing. A folder that cannot be written to, a
/// full disk and a wait that ends without the lock are no errors: it is said once, and from then on nothing is stored.
class TuningCache {
 public:
  /// Holds the lock of the file, or says that the work goes on without it.
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

  explicit TuningCache(const std::filesystem::path& folder, CachePatience patience = {});

  /// The decision under `key`, or nothing; a malformed one counts as none.
  std::optional<KernelDecision> find(const std::string& key) const;

  /// Waits for the lock, as long as the patience lasts or until a signal arrives. After that no more: the turn is not held.
  Turn take_turn();

  /// Stores a decision, where the turn is held.
  void store(const Turn& turn, const std::string& key, const KernelDecision& decision);

  const std::filesystem::path& file() const { return file_; }

 private:
  int open_lock();
  bool wait_for(int lock);
  void go_on_without(const std::string& why);

  std::filesystem::path file_;
  CachePatience patience_;
  bool without_ = false;  // nothing is stored any more
};

/// "AMD EPYC", as the operating system calls the processor.
std::string cpu_model();

}  // namespace apam::kernels
