// All sums are non-blocking collectives on a communicator of their own; every rank starts them in the same order.
#include "apam/mpi/all_reduce.h"

#include "apam/mpi/check.h"

namespace apam::exchange::mpi {
namespace {

class HostAllReduce final : public AllReduce {
 public:
  int rank() const override { return communicator_.rank(); }
  int ranks() const override { return communicator_.ranks(); }
  std::string_view name() const override { return "mpi (host buffers)"; }

  void start(Out values) override {
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
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Iallreduce(MPI_IN_PLACE, values.data(), count(values.size(), "a sum"), MPI_DOUBLE, MPI_SUM, communicator_.get(),
                         &request),
          "MPI_Iallreduce of numbers");
    wait(request, "MPI_Iallreduce of numbers");
  }

  std::vector<std::uint64_t> gather(std::uint64_t value) override {
    std::vector<std::uint64_t> values(static_cast<std::size_t>(ranks()));
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Iallgather(&value, 1, MPI_UINT64_T, values.data(), 1, MPI_UINT64_T, communicator_.get(), &request),
          "MPI_Iallgather");
    wait(request, "MPI_Iallgather");
    return values;
  }

  void broadcast(Out values) override {
    const auto host = values.host();
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibcast(host.data(), count(host.size(), "a broadcast"), MPI_FLOAT, 0, communicator_.get(), &request),
          "MPI_Ibcast");
    wait(request, "MPI_Ibcast");
  }

 private:
  // Moves all sums; returns how many ended just now, MPI_UNDEFINED when none was under way.
  int test() {
    int done = 0;
    indices_.resize(started_.size());
    check(MPI_Testsome(static_cast<int>(started_.size()), started_.data(), &done, indices_.data(), MPI_STATUSES_IGNORE),
          "MPI_Iallreduce");
    return done;
  }

  Communicator communicator_;
  std::vector<MPI_Request> started_;
  std::vector<int> indices_;  // of MPI_Testsome
};

}  // namespace

std::unique_ptr<AllReduce> make_all_reduce(const Environment&) { return std::make_unique<HostAllReduce>(); }

}  // namespace apam::exchange::mpi
