// Processes of a test.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <vector>

namespace apam::exchange::test {

/// Processes, forked before this one has threads. Each runs `body` and exits silently.
class Forked {
 public:
  Forked(int count, const std::function<void(int)>& body) {
    for (int i = 0; i < count; ++i) {
      processes_.push_back(::fork());
      if (processes_.back() != 0) continue;
      body(i);
      ::_exit(0);
    }
  }
  Forked(const Forked&) = delete;
  Forked& operator=(const Forked&) = delete;
  ~Forked() {
    for (const auto process : processes_) {
      ::kill(static_cast<::pid_t>(process), SIGKILL);
      ::waitpid(static_cast<::pid_t>(process), nullptr, 0);
    }
  }

  const std::vector<std::int64_t>& processes() const { return processes_; }
  void kill(int i) const { ::kill(static_cast<::pid_t>(processes_[static_cast<std::size_t>(i)]), SIGKILL); }

 private:
  std::vector<std::int64_t> processes_;
};

}  // namespace apam::exchange::test
