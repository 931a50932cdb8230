#include "kernels/runtime/write_all.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace apam {

WriteResult write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ::ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    const int error = written < 0 ? errno : ENOSPC;
    if (written > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (error == EAGAIN) {  // standard output that another process made non-blocking
      pollfd ready{.fd = descriptor, .events = POLLOUT, .revents = 0};
      ::poll(&ready, 1, -1);
    } else if (error != EINTR) {
      return {bytes.size(), error};
    }
  }
  return {};
}

}  // namespace apam
