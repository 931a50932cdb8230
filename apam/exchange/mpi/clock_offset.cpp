// Rank 0 asks one rank at a time: ping -> its clock. Blocking calls, since a poll with back-off would lengthen the round trip.
// The others wait, almost idle, in the all-gather that ends each turn.
#include "apam/exchange/mpi/clock_offset.h"

#include <array>
#include <chrono>
#include <limits>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/check.h"

namespace apam::exchange::mpi {
namespace {

constexpr int kRoundTrips = 32;
constexpr int kPing = 1, kAnswer = 2, kResult = 3;

std::int64_t now() { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void send(const std::array<std::int64_t, 2>& values, int rank, int tag, const Communicator& communicator) {
  check(MPI_Send(values.data(), 2, MPI_INT64_T, rank, tag, communicator.get()), "MPI_Send of a clock");
}

std::array<std::int64_t, 2> receive(int rank, int tag, const Communicator& communicator) {
  std::array<std::int64_t, 2> values{};
  check(MPI_Recv(values.data(), 2, MPI_INT64_T, rank, tag, communicator.get(), MPI_STATUS_IGNORE), "MPI_Recv of a clock");
  return values;
}

/// On rank 0: {offset, error} of the rank's clock.
std::array<std::int64_t, 2> ask(int rank, const Communicator& communicator) {
  std::int64_t shortest = std::numeric_limits<std::int64_t>::max(), offset = 0;
  for (int i = 0; i < kRoundTrips; ++i) {
    const std::int64_t begin = now();
    send({}, rank, kPing, communicator);
    const std::int64_t theirs = receive(rank, kAnswer, communicator)[0];
    const std::int64_t end = now();
    if (end - begin >= shortest) continue;
    shortest = end - begin;
    offset = theirs - (begin + shortest / 2);
  }
  return {offset, (shortest + 1) / 2};
}

}  // namespace

ClockOffset measure_clock_offset(const Environment& environment, const std::vector<std::string>& hosts) {
  const Communicator communicator;
  ClockOffset mine{.at = now()};
  for (int rank = 1; rank < environment.ranks(); ++rank) {
    if (hosts.at(static_cast<std::size_t>(rank)) == hosts[0]) continue;
    if (environment.rank() == 0) {
      send(ask(rank, communicator), rank, kResult, communicator);
    } else if (environment.rank() == rank) {
      for (int i = 0; i < kRoundTrips; ++i) {
        receive(0, kPing, communicator);
        send({now(), 0}, 0, kAnswer, communicator);
      }
      const auto [offset, error] = receive(0, kResult, communicator);
      mine = {.offset = offset, .error = error, .at = now()};
    }
    all_gather_strings(environment, "");
  }
  return mine;
}

}  // namespace apam::exchange::mpi
