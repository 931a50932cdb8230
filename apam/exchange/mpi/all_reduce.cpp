// All operations are non-blocking collectives on a separate communicator; every rank starts them in the same order.
#include "apam/exchange/mpi/all_reduce.h"

#include <algorithm>

#include "apam/exchange/mpi/check.h"
#include "apam/exchange/transport.h"

namespace apam::exchange::mpi {
namespace {

/// Memory that MPI may use even after an exception.
struct Scratch {
  std::vector<double> sums;
  std::vector<std::uint64_t> numbers;
  std::uint64_t number = 0;
};

class HostAllReduce final : public AllReduce {
 public:
  HostAllReduce() = default;
  ~HostAllReduce() override {
    // After an error, collectives may be in flight. Their memory must outlive them, so it is never freed.
    if (waits_) static_cast<void>(scratch_.release());
  }
  HostAllReduce(const HostAllReduce&) = delete;
  HostAllReduce& operator=(const HostAllReduce&) = delete;

  int rank() const override { return communicator_.rank(); }
  int ranks() const override { return communicator_.ranks(); }
  std::string_view name() const override { return kHostMessages; }

  void start(Span<float> values) override {
    const auto host = values.host();
    check(MPI_Iallreduce(MPI_IN_PLACE, host.data(), count(host.size(), "a sum"), MPI_FLOAT, MPI_SUM, communicator_.get(),
                         &started_.emplace_back(MPI_REQUEST_NULL)),
          "MPI_Iallreduce");
  }

  void progress() override { test(); }

  void finish() override {
    Backoff backoff;
    for (int done = 0; (done = test()) != MPI_UNDEFINED;) {
      if (done > 0) {
        backoff.reset();
      } else {
        backoff.pause(Backoff::Waiting::transfer);
      }
    }
    started_.clear();
  }

  void sum(std::span<double> values) override {
    scratch_->sums.assign(values.begin(), values.end());
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Iallreduce(MPI_IN_PLACE, scratch_->sums.data(), count(values.size(), "a sum"), MPI_DOUBLE, MPI_SUM,
                         communicator_.get(), &request),
          "MPI_Iallreduce of numbers");
    wait_for(request, "MPI_Iallreduce of numbers");
    std::copy(scratch_->sums.begin(), scratch_->sums.end(), values.begin());
  }

  std::vector<std::uint64_t> gather(std::uint64_t value) override {
    scratch_->number = value;
    scratch_->numbers.resize(static_cast<std::size_t>(ranks()));
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Iallgather(&scratch_->number, 1, MPI_UINT64_T, scratch_->numbers.data(), 1, MPI_UINT64_T, communicator_.get(),
                         &request),
          "MPI_Iallgather");
    wait_for(request, "MPI_Iallgather");
    return scratch_->numbers;
  }

  void broadcast(Span<float> values) override {
    const auto host = values.host();
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibcast(host.data(), count(host.size(), "a broadcast"), MPI_FLOAT, 0, communicator_.get(), &request),
          "MPI_Ibcast");
    wait_for(request, "MPI_Ibcast");
  }

 private:
  // Progresses all sums. Returns the number that ended now, or MPI_UNDEFINED if none was in flight.
  int test() {
    int done = 0;
    indices_.resize(started_.size());
    check(MPI_Testsome(static_cast<int>(started_.size()), started_.data(), &done, indices_.data(), MPI_STATUSES_IGNORE),
          "MPI_Iallreduce");
    return done;
  }

  void wait_for(MPI_Request& request, std::string_view what) {
    waits_ = true;
    wait(request, what);
    waits_ = false;
  }

  Communicator communicator_;
  std::unique_ptr<Scratch> scratch_ = std::make_unique<Scratch>();
  bool waits_ = false;  // for a collective on scratch_; stays true if it failed
  std::vector<MPI_Request> started_;
  std::vector<int> indices_;  // of MPI_Testsome
};

}  // namespace

std::unique_ptr<AllReduce> make_all_reduce(const Environment&) { return std::make_unique<HostAllReduce>(); }

}  // namespace apam::exchange::mpi
