#include "tests/kernels/cuda/guarded/guarded_mpi.h"

#include <mpi.h>

#include <atomic>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "tests/kernels/cuda/guarded/guarded_gpu.h"

namespace apam::support {
namespace {

MpiTakes initial() {
  const char* const name = std::getenv("APAM_GUARDED_MPI");
  const std::string_view takes = name != nullptr ? name : "";
  if (takes == "all_memory") return MpiTakes::all_memory;
  return takes == "claims_to_take" ? MpiTakes::claims_to_take : MpiTakes::host_memory;
}
std::atomic<MpiTakes>& taken() {
  static std::atomic<MpiTakes> memory = initial();
  return memory;
}

void* place_of(const void* data) { return taken() == MpiTakes::host_memory ? const_cast<void*>(data) : accessible(data); }

/// Where a receive goes: lost is what would go to the GPU.
void* target_of(void* data, int bytes) {
  void* const place = place_of(data);
  if (taken() != MpiTakes::claims_to_take || place == data) return place;
  static std::vector<std::byte> lost;
  if (lost.size() < static_cast<std::size_t>(bytes)) lost.resize(static_cast<std::size_t>(bytes));
  return lost.data();
}

}  // namespace

void let_mpi_take(MpiTakes memory) { taken() = memory; }

}  // namespace apam::support

// All messages of values have the type MPI_BYTE.
extern "C" {

int MPIX_GPU_query_support(int kind, int* supported) {
  *supported = kind == MPIX_GPU_SUPPORT_CUDA && apam::support::taken() != apam::support::MpiTakes::host_memory ? 1 : 0;
  return MPI_SUCCESS;
}
int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  return PMPI_Isend(apam::support::place_of(data), count, type, to, tag, comm, request);
}
int MPI_Issend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  return PMPI_Issend(apam::support::place_of(data), count, type, to, tag, comm, request);
}
int MPI_Irecv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request* request) {
  return PMPI_Irecv(apam::support::target_of(data, count), count, type, from, tag, comm, request);
}

}  // extern "C"
