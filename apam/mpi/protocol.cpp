#include "apam/mpi/protocol.h"

#include <array>
#include <cstdint>

namespace apam::exchange::mpi {

void agree_on_sizes(const Communicator& communicator, const MessageSizes& sizes) {
  using Pair = std::array<std::uint64_t, 2>;
  const Pair mine{sizes.contribution, sizes.weights};
  std::vector<Pair> all(static_cast<std::size_t>(communicator.ranks()));
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallgather(mine.data(), 2, MPI_UINT64_T, all.data(), 2, MPI_UINT64_T, communicator.get(), &request),
        "MPI_Iallgather of sizes");
  wait(request, "MPI_Iallgather of sizes");
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    require<ExchangeError>(all[rank] == all[0],
                           "mpi: rank {} exchanges {} and {} floats (contribution, weights), rank 0 exchanges {} and {}", rank,
                           all[rank][0], all[rank][1], all[0][0], all[0][1]);
  }
  // Receives are checked in bytes, so those must fit too.
  count(sizes.contribution * sizeof(float), "a contribution in bytes");
  count(sizes.weights * sizeof(float), "weights in bytes");
}

void check_received(int bytes, std::size_t expected, std::string_view what, int from_rank) {
  require<ExchangeError>(static_cast<std::size_t>(bytes) == expected, "mpi: {} of {} bytes came from rank {}, expected {}",
                         what, bytes, from_rank, expected);
}

}  // namespace apam::exchange::mpi
