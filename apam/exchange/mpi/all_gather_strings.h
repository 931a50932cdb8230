// Short texts for everybody: who is where, what went wrong, what was used.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apam/exchange/mpi/environment.h"

namespace apam::exchange::mpi {

/// The text of each rank, by rank. Collective; waiting costs next to no processor time. Throws ExchangeError when MPI fails.
std::vector<std::string> share_text(const Environment& environment, std::string_view text);

}  // namespace apam::exchange::mpi
