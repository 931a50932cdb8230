// Ranks, tags and sizes for both sides of the MPI exchange. Only for this folder.
#pragma once

#include <mpi.h>

#include <type_traits>

#include "apam/exchange/mpi/check.h"
#include "apam/exchange/mpi/transports.h"

namespace apam::exchange::mpi {

inline constexpr int kMaster = 0;
constexpr int rank_of(int worker) { return worker + 1; }

/// Message tags; MPI guarantees up to 32767.
enum Tag : int { kGradientHeader = 1, kContribution = 2, kReply = 3, kWeights = 4, kCancel = 5 };

// Headers are sent as bytes between processes of one program.
static_assert(std::is_trivially_copyable_v<GradientHeader> && std::is_trivially_copyable_v<Reply>);

/// Collective. Throws ExchangeError unless all ranks pass the same sizes and these fit MPI counts.
void agree_on_sizes(const Communicator& communicator, const MessageSizes& sizes);

/// Throws ExchangeError unless the expected number of bytes arrived.
void check_received(int bytes, std::size_t expected, std::string_view what, int from_rank);

}  // namespace apam::exchange::mpi
