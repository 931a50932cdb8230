// Two non-blocking collectives: the lengths of all texts, then all texts one behind the other.
#include "apam/mpi/share_text.h"

#include "apam/mpi/check.h"

namespace apam::exchange::mpi {

std::vector<std::string> share_text(const Environment& environment, std::string_view text) {
  const Communicator communicator;
  const auto ranks = static_cast<std::size_t>(environment.ranks());
  const int length = count(text.size(), "a text");
  std::vector<int> lengths(ranks), offsets(ranks);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, communicator.get(), &request),
        "MPI_Iallgather of lengths");
  wait(request, "MPI_Iallgather of lengths");

  std::size_t total = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    offsets[r] = count(total, "all texts");
    total += static_cast<std::size_t>(lengths[r]);
  }
  std::string all(total, '\0');
  check(MPI_Iallgatherv(text.data(), length, MPI_CHAR, all.data(), lengths.data(), offsets.data(), MPI_CHAR, communicator.get(),
                        &request),
        "MPI_Iallgatherv of texts");
  wait(request, "MPI_Iallgatherv of texts");

  std::vector<std::string> texts;
  for (std::size_t r = 0; r < ranks; ++r) {
    texts.push_back(all.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(lengths[r])));
  }
  return texts;
}

}  // namespace apam::exchange::mpi
