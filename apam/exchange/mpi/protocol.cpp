#include "apam/exchange/mpi/protocol.h"

#include <array>
#include <cstdint>

namespace apam::exchange::mpi {
namespace {

using Pair = std::array<std::uint64_t, 2>;  // contribution, weights
struct Sizes {
  Pair mine{};
  std::vector<Pair> all;
};

}  // namespace

void agree_on_sizes(const Communicator& communicator, const MessageSizes& sizes) {
  Parked<Sizes> messages;
  messages->mine = {sizes.contribution, sizes.weights};
  messages->all.resize(static_cast<std::size_t>(communicator.ranks()));
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallgather(messages->mine.data(), 2, MPI_UINT64_T, messages->all.data(), 2, MPI_UINT64_T, communicator.get(),
                       &request),
        "MPI_Iallgather of sizes");
  wait(request, "MPI_Iallgather of sizes");
  messages.done();
  const auto& all = messages->all;
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    require<ExchangeError>(all[rank] == all[0],
                           "mpi: rank {} exchanges {} and {} floats (contribution, weights), rank 0 exchanges {} and {}", rank,
                           all[rank][0], all[rank][1], all[0][0], all[0][1]);
  }
  // Receives are checked in bytes, which must fit too.
  count(sizes.contribution * sizeof(float), "a contribution in bytes");
  count(sizes.weights * sizeof(float), "weights in bytes");
}

void check_received(int bytes, std::size_t expected, std::string_view what, int from_rank) {
  require<ExchangeError>(static_cast<std::size_t>(bytes) == expected, "mpi: {} of {} bytes came from rank {}, expected {}",
                         what, bytes, from_rank, expected);
}

}  // namespace apam::exchange::mpi
