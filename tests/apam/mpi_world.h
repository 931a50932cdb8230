// The MPI world of a test program: every rank runs the same tests.
#pragma once

#include "apam/mpi/environment.h"

namespace apam::exchange::test {

/// MPI, started at the first call and ended with the process.
const mpi::Environment& world();

}  // namespace apam::exchange::test
