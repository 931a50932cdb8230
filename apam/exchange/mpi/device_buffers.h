// Whether MPI takes memory of GPUs. MPICH does if it was built for CUDA, unless its settings switch that off
// (MPIR_CVAR_ENABLE_GPU).
#pragma once

#include <string>

#include "apam/exchange/mpi/environment.h"
#include "kernels/runtime/device.h"

namespace apam::exchange::mpi {

/// Empty if every rank can send from and receive into memory of its device; else the first obstacle: "rank 1: MPI takes no
/// memory of GPUs". What MPI claims is tried: every rank sends messages of 64 KiB, 1 MiB and 48 MiB to the next one, which
/// examines them. Collective. Throws ExchangeError if MPI fails, OutOfMemory or another DeviceError for 96 MiB of the device.
std::string absence_of_device_buffers(const Environment& environment, Device device);

}  // namespace apam::exchange::mpi
