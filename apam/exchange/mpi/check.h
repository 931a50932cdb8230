// MPI's return codes as exceptions, and its communicators as owners. For the files of this folder alone.
#pragma once

#include <mpi.h>

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "apam/exchange/backoff.h"
#include "apam/exchange/error.h"

namespace apam::exchange::mpi {

/// What an MPI function answered other than MPI_SUCCESS.
class MpiError : public ExchangeError {
 public:
  MpiError(std::string_view what, int code);
  int code() const { return code_; }

 private:
  int code_;
};

/// Throws MpiError unless `code` is MPI_SUCCESS. `what` names the call: "MPI_Isend of weights".
inline void check(int code, std::string_view what) {
  if (code != MPI_SUCCESS) throw MpiError(what, code);
}

/// A communicator of its own over all ranks, so that no message meets those of others; it returns errors. Collective.
class Communicator {
 public:
  Communicator();
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  MPI_Comm get() const { return comm_; }
  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, ranks_ = 0;
  int exceptions_;  // in flight when this was made
};

/// `size` as MPI's count. Throws ExchangeError when it does not fit into an int.
int count(std::size_t size, std::string_view what);

/// A fixed set of places for requests, polled together.
class Requests {
 public:
  explicit Requests(std::size_t places) : requests_(places, MPI_REQUEST_NULL), indices_(places), statuses_(places) {}

  struct Completed {
    std::size_t place;
    int bytes;  ///< received; of no meaning for a send
  };

  /// A free place to start a request in. Throws ExchangeError while one is active there.
  MPI_Request* place(std::size_t index);
  bool active(std::size_t index) const { return requests_[index] != MPI_REQUEST_NULL; }
  bool any_active() const;

  /// Those that have completed since the last call; progresses all. Throws MpiError for one that failed, with `what`.
  std::span<const Completed> test(std::string_view what);

 private:
  std::vector<MPI_Request> requests_;
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
  std::vector<Completed> completed_;
};

/// Memory that collectives of a scope read and write. If an exception ends the scope before they are done, MPI may still use
/// it: then it is left to the end of the process.
template <class T>
class Parked {
 public:
  Parked() : value_(std::make_unique<T>()) {}
  ~Parked() {
    if (!done_) static_cast<void>(value_.release());
  }
  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;

  T* operator->() const { return value_.get(); }

  /// The collectives are done.
  void done() { done_ = true; }

 private:
  std::unique_ptr<T> value_;
  bool done_ = false;
};

/// Waits, asleep most of the time, until a request is done.
void wait(MPI_Request& request, std::string_view what);

/// Waits, asleep most of the time, until all ranks are here.
void meet();

}  // namespace apam::exchange::mpi
