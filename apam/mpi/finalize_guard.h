// A watch over MPI_Finalize.
#pragma once

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <stop_token>
#include <thread>

namespace apam::exchange::mpi {

/// Sees to it that MPI_Finalize comes back, in the thread that makes this one right before it.
///
/// MPICH 4.0 over UCX closes a rank's connections there, while its peers may already wait in a barrier of the launcher, in
/// which they answer nothing. Over TCP, which also carries messages within a host that forbids CMA, a close needs an answer:
/// the rank that comes last waits for ever, and all others for it. By then no rank needs anything of another, so the one that
/// waits in UCX (it polls; the barrier sleeps) tells Hydra, on the descriptor and in the words of PMI-1, that it has reached
/// the barrier; the others then end, their sockets close, and that is an answer too. Where this does not help, the process
/// ends with `status`.
class FinalizeGuard {
 public:
  explicit FinalizeGuard(int status);

 private:
  void watch(const std::stop_token& stop, int status);
  bool passes(const std::stop_token& stop, std::chrono::milliseconds time);
  bool polls() const;

  clockid_t clock_;  // processor time of the thread in MPI_Finalize
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace apam::exchange::mpi
