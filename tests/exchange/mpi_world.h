// The MPI world of a test program: every rank runs the same tests.
#pragma once

#include "apam/exchange/mpi/environment.h"

namespace apam::exchange::test {

/// MPI, which main() starts and ends.
const mpi::Environment& world();

}  // namespace apam::exchange::test
