#include "apam/exchange/mpi/protocol.h"

#include <array>
#include <cstdint>
#include <tuple>

namespace apam::exchange::mpi {
namespace {

using Numbers = std::array<std::uint64_t, 7>;  // contribution, weights, part, wire, masters, order, colocated
struct Sizes {
  Numbers mine{};
  std::vector<Numbers> all;
};

std::string_view name_of_wire(std::uint64_t wire) {
  return wire == static_cast<std::uint64_t>(Wire::bfloat16) ? "bfloat16" : "float32";
}

std::string_view name_of_order(std::uint64_t order) {
  return order == static_cast<std::uint64_t>(Order::free) ? "free" : "sequenced";
}

std::string_view name_of_place(std::uint64_t colocated) { return colocated != 0 ? "colocated" : "separate"; }

/// Collective. Throws ExchangeError unless all ranks pass the same sizes and these fit MPI counts.
void agree_on_sizes(const Communicator& communicator, const MessageSizes& sizes) {
  Parked<Sizes> messages;
  messages->mine = {sizes.contribution,
                    sizes.weights,
                    sizes.part,
                    static_cast<std::uint64_t>(sizes.wire),
                    static_cast<std::uint64_t>(sizes.masters),
                    static_cast<std::uint64_t>(sizes.order),
                    sizes.colocated ? 1U : 0U};
  messages->all.resize(static_cast<std::size_t>(communicator.ranks()));
  MPI_Request request = MPI_REQUEST_NULL;
  constexpr int kNumbers = std::tuple_size_v<Numbers>;
  check(MPI_Iallgather(messages->mine.data(), kNumbers, MPI_UINT64_T, messages->all.data(), kNumbers, MPI_UINT64_T,
                       communicator.get(), &request),
        "MPI_Iallgather of sizes");
  wait(request, "MPI_Iallgather of sizes");
  messages.done();
  const auto& all = messages->all;
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    require<ExchangeError>(
        all[rank] == all[0],
        "mpi: rank {} exchanges {} and {} floats (contribution, weights) in parts of {}, rank 0 exchanges {} and {} in "
        "parts of {}, with {} and {} masters, {} and {} workers, {} and {} as order, {} and {} as type",
        rank, all[rank][0], all[rank][1], all[rank][2], all[0][0], all[0][1], all[0][2], all[rank][4], all[0][4],
        name_of_place(all[rank][6]), name_of_place(all[0][6]), name_of_order(all[rank][5]), name_of_order(all[0][5]),
        name_of_wire(all[rank][3]), name_of_wire(all[0][3]));
  }
  require<ExchangeError>(sizes.order == Order::sequenced || sizes.masters > 1,
                         "mpi: an order of their own is for several masters, got {}", sizes.masters);
  // Receives are checked in bytes, which must fit too.
  count(sizes.contribution * sizeof(float), "a contribution in bytes");
  count(sizes.weights * sizeof(float), "weights in bytes");
}

}  // namespace

Peers::Peers(const Environment& environment, const MessageSizes& sizes, Sends sends) {
  const Roles roles = Roles::of(environment.ranks(), sizes.masters, sizes.colocated);
  require<ExchangeError>(roles.complete(), "mpi: {} ranks for {} masters, expected 1 master or more and {}",
                         environment.ranks(), sizes.masters, sizes.colocated ? "a rank for each" : "a worker");
  require<ExchangeError>(
      !sizes.colocated || environment.threads() == Threads::any,
      "mpi: a rank that is a master and a worker calls MPI from several threads, the environment is for one");
  agreed_ = std::make_shared<const Agreed>(sizes, sends, roles);
  agree_on_sizes(agreed_->communicator, sizes);
}

void check_received(int bytes, std::size_t expected, std::string_view what, int from_rank) {
  require<ExchangeError>(static_cast<std::size_t>(bytes) == expected, "mpi: {} of {} bytes came from rank {}, expected {}",
                         what, bytes, from_rank, expected);
}

void Channel::send(std::size_t place, std::span<const std::byte> bytes, const Peer& to) {
  const auto start = sends_ == Sends::synchronous ? MPI_Issend : MPI_Isend;
  check(
      start(bytes.data(), count(bytes.size(), to.what), MPI_BYTE, to.rank, to.tag, communicator_.get(), requests_.place(place)),
      to.what);
}

void Channel::receive(std::size_t place, std::span<std::byte> bytes, const Peer& from) {
  check(MPI_Irecv(bytes.data(), count(bytes.size(), from.what), MPI_BYTE, from.rank, from.tag, communicator_.get(),
                  requests_.place(place)),
        from.what);
}

}  // namespace apam::exchange::mpi
