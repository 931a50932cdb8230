// All-reduce over the ranks of an MPI world by MPI_Iallreduce, from host buffers.
#pragma once

#include <memory>

#include "apam/exchange/all_reduce.h"
#include "apam/exchange/mpi/environment.h"

namespace apam::exchange::mpi {

/// Collective. This and the result throw ExchangeError if MPI fails, DeviceError for memory other than the CPU's.
std::unique_ptr<AllReduce> make_all_reduce(const Environment& environment);

}  // namespace apam::exchange::mpi
