// The signals are blocked, so that they wait in the kernel until sigpending() is asked. No handler, no global state.
#include "apam/run/interruption.h"

#include <pthread.h>

#include <csignal>

namespace apam::run {
namespace {

sigset_t wished() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

Interruption::Interruption() {
  const sigset_t set = wished();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Interruption::~Interruption() {
  // One that has been answered must not end the process now.
  const sigset_t set = wished();
  const timespec at_once{};
  while (::sigtimedwait(&set, nullptr, &at_once) > 0) {
  }
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

std::optional<int> Interruption::pending() const {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigpending(&set);
  for (const int signal : {SIGINT, SIGTERM}) {
    if (::sigismember(&set, signal) == 1) return signal;
  }
  return std::nullopt;
}

}  // namespace apam::run
