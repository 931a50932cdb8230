#include "kernels/runtime/process_watch.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "kernels/runtime/error.h"

namespace apam {

std::int64_t ProcessWatch::this_process() { return ::getpid(); }

ProcessWatch::ProcessWatch(std::span<const std::int64_t> processes) {
  for (const std::int64_t process : processes) {
    Descriptor descriptor(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<::pid_t>(process), 0)));
    const int error = errno;
    require<DeviceError>(descriptor.is_open(), "process {}: cannot be watched: {}", process, reason_of(error));
    processes_.push_back(std::move(descriptor));
  }
}

std::vector<int> ProcessWatch::ended() const {
  std::vector<::pollfd> polled;
  for (const Descriptor& process : processes_) polled.push_back({.fd = process.get(), .events = POLLIN, .revents = 0});
  std::vector<int> ended;
  if (::poll(polled.data(), polled.size(), 0) <= 0) return ended;
  for (std::size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents != 0) ended.push_back(static_cast<int>(i));
  }
  return ended;
}

}  // namespace apam
