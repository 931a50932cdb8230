// What both ends of the MPI exchange agree on. For the files of this folder alone.
#pragma once

#include <mpi.h>

#include <type_traits>

#include "apam/exchange/mpi/check.h"
#include "apam/exchange/mpi/transports.h"

namespace apam::exchange::mpi {

inline constexpr int kMaster = 0;
constexpr int rank_of(int worker) { return worker + 1; }

/// Message tags; MPI guarantees up to 32767.
enum Tag : int { kGradientHeader = 1, kContribution = 2, kReply = 3, kWeights = 4 };

// Headers travel as bytes between processes of one program.
static_assert(std::is_trivially_copyable_v<GradientHeader> && std::is_trivially_copyable_v<Reply>);

/// Collective: throws ExchangeError unless all ranks pass the same sizes, and they fit MPI's counts.
void agree_on_sizes(const Communicator& communicator, const MessageSizes& sizes);

/// Throws ExchangeError unless as many bytes arrived as were expected.
void check_received(int bytes, std::size_t expected, std::string_view what, int from_rank);

}  // namespace apam::exchange::mpi
