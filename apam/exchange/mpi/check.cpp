#include "apam/exchange/mpi/check.h"

#include <algorithm>
#include <array>
#include <exception>
#include <limits>
#include <string>

namespace apam::exchange::mpi {
namespace {

// MPI's text for a code, on one line; MPICH's has several.
std::string describe(std::string_view what, int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) return fmt::format("{}: MPI error {}", what, code);
  std::string line(text.data(), static_cast<std::size_t>(length));
  std::replace(line.begin(), line.end(), '\n', ' ');
  return fmt::format("{}: {}", what, line);
}

}  // namespace

MpiError::MpiError(std::string_view what, int code) : ExchangeError(describe(what, code)), code_(code) {}

Communicator::Communicator() : exceptions_(std::uncaught_exceptions()) {
  barrier();  // MPI_Comm_dup would keep a core busy until the last rank arrives
  check(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
  check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm_, &ranks_), "MPI_Comm_size");
}

Communicator::~Communicator() {
  if (std::uncaught_exceptions() > exceptions_) return;  // other ranks may not reach the collective call
  MPI_Comm_free(&comm_);                                 // a destructor cannot report errors
}

int count(std::size_t size, std::string_view what) {
  require<ExchangeError>(size <= static_cast<std::size_t>(std::numeric_limits<int>::max()),
                         "mpi: {} of {} elements exceed the {} of one message", what, size, std::numeric_limits<int>::max());
  return static_cast<int>(size);
}

MPI_Request* Requests::place(std::size_t index) {
  require<ExchangeError>(!active(index), "mpi: request {} is started again while it is active", index);
  return &requests_[index];
}

bool Requests::any_active() const {
  return std::any_of(requests_.begin(), requests_.end(), [](MPI_Request request) { return request != MPI_REQUEST_NULL; });
}

std::span<const Requests::Completed> Requests::test(std::string_view what) {
  completed_.clear();
  int done = 0;
  const int code = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &done, indices_.data(), statuses_.data());
  if (done == MPI_UNDEFINED) done = 0;  // no request is active
  if (code == MPI_ERR_IN_STATUS) {
    for (int i = 0; i < done; ++i) check(statuses_[static_cast<std::size_t>(i)].MPI_ERROR, what);
  }
  check(code, what);
  for (int i = 0; i < done; ++i) {
    int bytes = 0;
    check(MPI_Get_count(&statuses_[static_cast<std::size_t>(i)], MPI_BYTE, &bytes), "MPI_Get_count");
    completed_.push_back({static_cast<std::size_t>(indices_[static_cast<std::size_t>(i)]), bytes});
  }
  return completed_;
}

void wait(MPI_Request& request, std::string_view what) {
  Backoff backoff;
  for (int done = 0; done == 0;) {
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    if (done == 0) backoff.pause(Backoff::Waiting::idle);
  }
}

void barrier() {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(MPI_COMM_WORLD, &request), "MPI_Ibarrier");
  wait(request, "MPI_Ibarrier");
}

}  // namespace apam::exchange::mpi
