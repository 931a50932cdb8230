// Two non-blocking collectives: the lengths of all texts, then their concatenation.
#include "apam/exchange/mpi/all_gather_strings.h"

#include "apam/exchange/mpi/check.h"

namespace apam::exchange::mpi {
namespace {

struct Texts {
  std::string mine, all;
  int length = 0;
  std::vector<int> lengths, offsets;  // [rank], of and in `all`
};

}  // namespace

std::vector<std::string> all_gather_strings(const Environment& environment, std::string_view text) {
  const Communicator communicator;
  const auto ranks = static_cast<std::size_t>(environment.ranks());
  Parked<Texts> texts;
  texts->mine = text;
  texts->length = count(text.size(), "a text");
  texts->lengths.resize(ranks);
  texts->offsets.resize(ranks);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallgather(&texts->length, 1, MPI_INT, texts->lengths.data(), 1, MPI_INT, communicator.get(), &request),
        "MPI_Iallgather of lengths");
  wait(request, "MPI_Iallgather of lengths");

  std::size_t total = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    texts->offsets[r] = count(total, "all texts");
    total += static_cast<std::size_t>(texts->lengths[r]);
  }
  texts->all.resize(total);
  check(MPI_Iallgatherv(texts->mine.data(), texts->length, MPI_CHAR, texts->all.data(), texts->lengths.data(),
                        texts->offsets.data(), MPI_CHAR, communicator.get(), &request),
        "MPI_Iallgatherv of texts");
  wait(request, "MPI_Iallgatherv of texts");
  texts.done();

  std::vector<std::string> all;
  for (std::size_t r = 0; r < ranks; ++r) {
    all.push_back(texts->all.substr(static_cast<std::size_t>(texts->offsets[r]), static_cast<std::size_t>(texts->lengths[r])));
  }
  return all;
}

}  // namespace apam::exchange::mpi
