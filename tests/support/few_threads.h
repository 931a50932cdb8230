// A limit on the threads that the system can start.
#pragma once

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <stdexcept>

namespace apam::support {

/// During its lifetime new threads have 1 GiB of stack each, and the address space has room for `most` of them.
class FewThreads {
 public:
  explicit FewThreads(std::size_t most) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    ::getrlimit(RLIMIT_AS, &space_);
    rlimit space = space_;
    space.rlim_cur = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + most * kStack + kStack / 2;
    pthread_attr_t attributes;
    ::pthread_getattr_default_np(&attributes_);
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, kStack);
    const bool set = ::pthread_setattr_default_np(&attributes) == 0 && ::setrlimit(RLIMIT_AS, &space) == 0;
    ::pthread_attr_destroy(&attributes);
    if (!set) throw std::runtime_error("the address space cannot be limited");
  }
  ~FewThreads() {
    ::setrlimit(RLIMIT_AS, &space_);
    ::pthread_setattr_default_np(&attributes_);
    ::pthread_attr_destroy(&attributes_);
  }
  FewThreads(const FewThreads&) = delete;
  FewThreads& operator=(const FewThreads&) = delete;

 private:
  static constexpr std::size_t kStack = std::size_t{1} << 30U;

  pthread_attr_t attributes_{};
  rlimit space_{};
};

}  // namespace apam::support
