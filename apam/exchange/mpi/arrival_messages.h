// Messages of synchronous training with backup ranks, and the places of their requests. Only for this folder.
#pragma once

#include <cstring>
#include <deque>
#include <type_traits>
#include <vector>

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/first_arrivals.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange::mpi {

inline constexpr int kDecider = 0;

/// To the deciding rank.
struct Note {
  enum class Kind : std::uint8_t { offer, compare, release, finish };

  Kind kind = Kind::offer;
  std::int64_t update = 0;
  std::uint64_t checksum = 0;
  GradientHeader header{};
};

/// Throws ExchangeError for a note of no kind. Call it on notes from another process before using them.
inline void check(const Note& note, int from) {
  require<ExchangeError>(note.kind <= Note::Kind::finish, "mpi: rank {} sends a note of kind {}, expected 0 to {}", from,
                         static_cast<int>(note.kind), static_cast<int>(Note::Kind::finish));
}

/// From it, ahead of the K arrivals.
struct DecisionHead {
  static constexpr std::int64_t kEnd = 0;  // in place of an update

  std::int64_t update = kEnd;
  std::int64_t late = 0;  // contributions so far
};

static_assert(std::is_trivially_copyable_v<Note> && std::is_trivially_copyable_v<EarlyGradient>);

using Bytes = std::vector<std::byte>;

struct Decision {
  DecisionHead head;
  std::vector<EarlyGradient> arrivals;

  Bytes to_bytes(std::size_t first) const {
    Bytes bytes(sizeof(DecisionHead) + first * sizeof(EarlyGradient));
    std::memcpy(bytes.data(), &head, sizeof(head));
    if (!arrivals.empty()) std::memcpy(bytes.data() + sizeof(head), arrivals.data(), first * sizeof(EarlyGradient));
    return bytes;
  }
  /// Throws ExchangeError unless the arrivals are of different ranks, in ascending order.
  static Decision of(const Bytes& bytes, std::size_t first, int ranks) {
    Decision decision;
    std::memcpy(&decision.head, bytes.data(), sizeof(DecisionHead));
    if (decision.head.update == DecisionHead::kEnd) return decision;
    decision.arrivals.resize(first);
    std::memcpy(decision.arrivals.data(), bytes.data() + sizeof(DecisionHead), first * sizeof(EarlyGradient));
    int least = 0;
    for (const EarlyGradient& arrival : decision.arrivals) {
      require<ExchangeError>(arrival.rank >= least && arrival.rank < ranks,
                             "mpi: update {} has a contribution of rank {}, expected {} to {}", decision.head.update,
                             arrival.rank, least, ranks - 1);
      least = arrival.rank + 1;
    }
    return decision;
  }
};

/// Places of requests: one of each kind for every rank, those of sums also for every slot.
struct Places {
  enum Kind : std::size_t { kNoteSend, kDecisionReceive, kNoteReceive, kDecisionSend, kPartSend, kPartReceive, kSums };
  static constexpr auto kSlots = static_cast<std::size_t>(BackupSizes::kRounds);

  std::size_t ranks;

  std::size_t of(Kind kind, int rank) const { return kind * ranks + static_cast<std::size_t>(rank); }
  std::size_t sum_send(std::size_t slot, int rank) const { return (kSums + slot) * ranks + static_cast<std::size_t>(rank); }
  std::size_t sum_receive(std::size_t slot, int rank) const { return sum_send(kSlots + slot, rank); }
  std::size_t count() const { return (kSums + 2 * kSlots) * ranks; }

  std::size_t kind(std::size_t place) const { return place / ranks; }
  int rank(std::size_t place) const { return static_cast<int>(place % ranks); }
};

/// Memory that MPI may use even after an exception.
struct ArrivalMemory {
  ArrivalMemory(const BackupSizes& sizes, int ranks)
      : received(static_cast<std::size_t>(ranks)),
        decision(Decision{}.to_bytes(static_cast<std::size_t>(sizes.first))),
        decisions(static_cast<std::size_t>(ranks)),
        parts({}, static_cast<std::size_t>(sizes.first) * sizes.longest_part() * sizeof(float)),
        sums({}, Places::kSlots * sizes.floats * sizeof(float)) {}

  Note sent;
  std::vector<Note> received;                // by rank
  Bytes decision;                            // received
  std::vector<std::deque<Bytes>> decisions;  // sent, by rank
  Buffer parts, sums;
};

/// For the thread that computes.
struct Event {
  enum class Kind : std::uint8_t { decided, summed, ended };

  Kind kind = Kind::decided;
  std::int64_t update = 0;
  std::int64_t late = 0;
  std::vector<EarlyGradient> arrivals{};  // of `decided`
};

/// What the thread that computes knows of an update.
struct Round {
  std::int64_t decided = 0, summed = 0;  // the update
  std::vector<EarlyGradient> arrivals;
};

/// Of the memory of an update.
inline std::size_t slot_of(std::int64_t update) { return static_cast<std::size_t>(update % BackupSizes::kRounds); }

}  // namespace apam::exchange::mpi
