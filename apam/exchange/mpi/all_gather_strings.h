// All-gather of short strings: hosts, errors, reports.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apam/exchange/mpi/environment.h"

namespace apam::exchange::mpi {

/// The text of each rank, by rank. Collective; waiting uses almost no processor time. Throws ExchangeError if MPI fails.
std::vector<std::string> all_gather_strings(const Environment& environment, std::string_view text);

}  // namespace apam::exchange::mpi
