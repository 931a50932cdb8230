// MPI return codes as exceptions, and owners of MPI objects. Only for this folder: it includes <mpi.h>.
#pragma once

#include <mpi.h>

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "apam/exchange/backoff.h"
#include "apam/exchange/error.h"

namespace apam::exchange::mpi {

/// An MPI function returned a code other than MPI_SUCCESS.
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

/// A separate communicator over all ranks, so that messages of different users cannot match. Returns errors. Collective.
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
  int exceptions_;  // in flight at construction
};

/// `size` as an MPI count. Throws ExchangeError if it does not fit into an int.
int count(std::size_t size, std::string_view what);

/// A fixed number of requests, polled together.
class Requests {
 public:
  explicit Requests(std::size_t places) : requests_(places, MPI_REQUEST_NULL), indices_(places), statuses_(places) {}

  struct Completed {
    std::size_t place;
    int bytes;  ///< received; meaningless for a send
  };

  /// A free place to start a request in. Throws ExchangeError if one is active there.
  MPI_Request* place(std::size_t index);
  bool active(std::size_t index) const { return requests_[index] != MPI_REQUEST_NULL; }
  bool any_active() const;

  /// Progresses all requests and returns those completed since the last call. Throws MpiError with `what` if one failed.
  std::span<const Completed> test(std::string_view what);

 private:
  std::vector<MPI_Request> requests_;
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
  std::vector<Completed> completed_;
};

/// Memory that the collectives of a scope read and write. If an exception ends the scope before they are done, MPI may still
/// use the memory, so it is never freed.
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

/// Waits until a request is done, sleeping most of the time.
void wait(MPI_Request& request, std::string_view what);

/// A barrier over MPI_COMM_WORLD; sleeps most of the time.
void barrier();

}  // namespace apam::exchange::mpi
