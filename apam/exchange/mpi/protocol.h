// Ranks, tags and sizes for both sides of the MPI exchange. Only for this folder.
#pragma once

#include <mpi.h>

#include <type_traits>

#include "apam/exchange/mpi/check.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/roles.h"

namespace apam::exchange::mpi {

inline constexpr int kSequencer = 0;  ///< or the only master

/// Message tags; MPI guarantees up to 32767.
enum Tag : int {
  kGradientHeader = 1,
  kContribution = 2,
  kToWorker = 3,
  kWeights = 4,
  kLogEntry = 5,
  kShardReport = 6,
  kShardValues = 7,
  kNote = 8,
  kDecision = 9,
  kPart = 10,
  kSum = 11,
};

/// A reply or a cancellation. They have one tag, so that they arrive in the order in which they were sent: what precedes a stop
/// has been received when the stop has.
struct ToWorker {
  static constexpr std::int64_t kIsReply = -1;

  Reply reply{};
  std::int64_t cancelled = kIsReply;  ///< version of the weights whose computation is to be given up
};

// Headers are sent as bytes between processes of one program.
static_assert(std::is_trivially_copyable_v<GradientHeader> && std::is_trivially_copyable_v<ToWorker>);

struct Peers::Agreed {
  /// Collective.
  Agreed(const MessageSizes& sizes_, Sends sends_, const Roles& roles_) : sizes(sizes_), sends(sends_), roles(roles_) {}

  int rank() const { return communicator.rank(); }

  Communicator communicator;
  MessageSizes sizes;
  Sends sends;
  Roles roles;
};

/// Throws ExchangeError unless the expected number of bytes arrived.
void check_received(int bytes, std::size_t expected, std::string_view what, int from_rank);

/// The messages between this rank and others.
class Channel {
 public:
  /// Both must outlive it.
  Channel(const Communicator& communicator, Requests& requests, Sends sends)
      : communicator_(communicator), requests_(requests), sends_(sends) {}

  struct Peer {
    int rank;
    Tag tag;
    std::string_view what;  ///< "MPI_Isend of weights"
  };
  /// Start a message in a place of the requests. Its memory must stay until it is complete.
  void send(std::size_t place, std::span<const std::byte> bytes, const Peer& to);
  void receive(std::size_t place, std::span<std::byte> bytes, const Peer& from);

 private:
  const Communicator& communicator_;
  Requests& requests_;
  Sends sends_;
};

/// Values as bytes, for MPI only: they may be memory of a GPU.
template <class T>
auto bytes_of_any_memory(Span<T> values) {
  using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
  return std::span<Byte>(reinterpret_cast<Byte*>(values.data()), values.size_bytes());
}

/// One object as bytes.
template <class T>
std::span<const std::byte> bytes_of(const T& object) {
  return std::as_bytes(std::span(&object, 1));
}
template <class T>
std::span<std::byte> writable_bytes_of(T& object) {
  return std::as_writable_bytes(std::span(&object, 1));
}

}  // namespace apam::exchange::mpi
