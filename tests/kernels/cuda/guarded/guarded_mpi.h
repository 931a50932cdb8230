// An MPI that takes memory of the guarded GPU: replaces functions of MPI in a test program that links guarded_mpi.cpp.
#pragma once

#include <cstdint>

namespace apam::support {

enum class MpiTakes : std::uint8_t {
  host_memory,    ///< as MPICH without support for GPUs
  all_memory,     ///< sends from and receives into memory of the GPU, at any time until a message is complete
  claims_to_take  ///< says so, but what it receives into memory of the GPU is lost
};

/// At first what the environment variable APAM_GUARDED_MPI names.
void let_mpi_take(MpiTakes memory);

}  // namespace apam::support
