#include "apam/cli/interruption.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "kernels/runtime/error.h"
#include "kernels/runtime/start_thread.h"

namespace apam::cli {
namespace {

bool ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t handled_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (!ignored(signal)) ::sigaddset(&set, signal);
  }
  return set;
}

}  // namespace

Interruption::Interruption()
    : signals_(handled_signals()),
      arrived_(::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK)),
      closing_(::eventfd(0, EFD_CLOEXEC)) {
  const int error = errno;
  require<DeviceError>(arrived_ >= 0 && closing_ >= 0, "signals: cannot be watched: {}",
                       std::generic_category().message(error));
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = start_thread("signals", 1, 1, [this] { watch(); });
}

Interruption::~Interruption() {
  const std::uint64_t one = 1;
  while (::write(closing_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
  ::close(arrived_);
  ::close(closing_);
  // A signal that was handled must not end the process now.
  const timespec at_once{};
  while (::sigtimedwait(&signals_, nullptr, &at_once) > 0) {
  }
  ::pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
}

void Interruption::watch() {
  std::array<pollfd, 2> descriptors{pollfd{arrived_, POLLIN, 0}, pollfd{closing_, POLLIN, 0}};
  std::chrono::steady_clock::time_point first;
  while (true) {
    if (::poll(descriptors.data(), descriptors.size(), -1) < 0 && errno != EINTR) return;
    if ((descriptors[1].revents & POLLIN) != 0) return;
    signalfd_siginfo info{};
    if (::read(arrived_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    const auto now = std::chrono::steady_clock::now();
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal_ == 0) {
      first = now;
      signal_ = signal;
    } else if (now - first >= kRepetition) {
      ::_exit(128 + signal);
    }
  }
}

}  // namespace apam::cli
