// Point to point on MPI_COMM_WORLD, which nothing else uses for messages: a collective, or another communicator, would need the
// ranks that have ended.
#include "apam/exchange/mpi/gather_strings.h"

#include <algorithm>

#include "apam/exchange/mpi/check.h"

namespace apam::exchange::mpi {
namespace {

constexpr int kToFirst = 101, kFromFirst = 102;

struct Message {
  std::string text;
  int length = 0;
};

void send(std::string_view text, int rank, int tag) {
  Parked<Message> message;
  message->text = text;
  message->length = count(text.size(), "a text");
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Isend(&message->length, 1, MPI_INT, rank, tag, MPI_COMM_WORLD, &request), "MPI_Isend of a length");
  wait(request, "MPI_Isend of a length");
  check(MPI_Isend(message->text.data(), message->length, MPI_CHAR, rank, tag, MPI_COMM_WORLD, &request), "MPI_Isend of a text");
  wait(request, "MPI_Isend of a text");
  message.done();
}

std::string receive(int rank, int tag) {
  Parked<Message> message;
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Irecv(&message->length, 1, MPI_INT, rank, tag, MPI_COMM_WORLD, &request), "MPI_Irecv of a length");
  wait(request, "MPI_Irecv of a length");
  message->text.resize(static_cast<std::size_t>(message->length));
  check(MPI_Irecv(message->text.data(), message->length, MPI_CHAR, rank, tag, MPI_COMM_WORLD, &request), "MPI_Irecv of a text");
  wait(request, "MPI_Irecv of a text");
  message.done();
  return std::move(message->text);
}

bool is_in(std::span<const int> gone, int rank) { return std::find(gone.begin(), gone.end(), rank) != gone.end(); }

}  // namespace

std::vector<std::string> gather_strings(const Environment& environment, std::string_view text, std::span<const int> gone) {
  if (environment.rank() != 0) {
    send(text, 0, kToFirst);
    return {};
  }
  std::vector<std::string> all(static_cast<std::size_t>(environment.ranks()));
  all[0] = text;
  for (int rank = 1; rank < environment.ranks(); ++rank) {
    if (!is_in(gone, rank)) all[static_cast<std::size_t>(rank)] = receive(rank, kToFirst);
  }
  return all;
}

std::string broadcast_string(const Environment& environment, std::string_view text, std::span<const int> gone) {
  if (environment.rank() != 0) return receive(0, kFromFirst);
  for (int rank = 1; rank < environment.ranks(); ++rank) {
    if (!is_in(gone, rank)) send(text, rank, kFromFirst);
  }
  return std::string(text);
}

}  // namespace apam::exchange::mpi
