// Texts to rank 0, and its answer: the end of a run, whose reports may be long and from which some ranks may be missing.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apam/exchange/mpi/environment.h"

namespace apam::exchange::mpi {

/// On rank 0: the text of each rank, by rank; empty for the ranks in `gone`, which are not waited for. On other ranks: nothing.
/// All ranks but those call it. Waiting uses almost no processor time. Throws ExchangeError if MPI fails.
std::vector<std::string> gather_strings(const Environment& environment, std::string_view text, std::span<const int> gone = {});

/// The text of rank 0 on all ranks but those in `gone`, which only rank 0 needs to know.
std::string broadcast_string(const Environment& environment, std::string_view text, std::span<const int> gone = {});

}  // namespace apam::exchange::mpi
