// The MPI world of a test program: every rank runs the same tests.
//
// With --synchronous-sends every message of the asynchronous exchange is a synchronous send. With --any-thread several threads
// may call MPI.
#pragma once

#include "apam/exchange/mpi/transports.h"

namespace apam::exchange::test {

/// MPI, which main() starts and ends.
const mpi::Environment& world();

/// As the command line says.
mpi::Sends sends();

inline int workers() { return world().ranks() - 1; }

}  // namespace apam::exchange::test
