// Sums over the ranks of an MPI world, from host buffers, by MPI_Iallreduce.
#pragma once

#include <memory>

#include "apam/exchange/all_reduce.h"
#include "apam/exchange/mpi/environment.h"

namespace apam::exchange::mpi {

/// Collective. Throws ExchangeError when MPI fails, then and later; DeviceError for memory that is not the CPU's.
std::unique_ptr<AllReduce> make_all_reduce(const Environment& environment);

}  // namespace apam::exchange::mpi
