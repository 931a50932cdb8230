#include "tests/kernels/nccl/fake_nccl.h"

#include <fmt/format.h>
#include <nccl.h>

#include <cstdlib>
#include <string>

struct ncclComm {
  int operations = 0;
};

namespace {

std::string calls, failing;

/// Remembers a call; fails if that was asked for.
template <class... Args>
ncclResult_t called(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
  calls += fmt::format("{} ", name) + fmt::format(format, std::forward<Args>(args)...) + '\n';
  return name == failing ? ncclSystemError : ncclSuccess;
}

}  // namespace

extern "C" {

const char* fake_nccl_calls() {
  static std::string result;
  result.clear();
  result.swap(calls);
  return result.c_str();
}
void fake_nccl_fail(const char* name) { failing = name; }

ncclResult_t ncclGetVersion(int* version) {
  const char* pretended = std::getenv("FAKE_NCCL_VERSION");
  *version = pretended == nullptr ? NCCL_VERSION_CODE : std::atoi(pretended);
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) { return result == ncclSystemError ? "a failure" : "another"; }
const char* ncclGetLastError(ncclComm_t) { return "the reason\nand more"; }
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  for (char& byte : id->internal) byte = static_cast<char>(&byte - id->internal);
  return called("ncclGetUniqueId", "");
}
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  *comm = new ncclComm;
  return called("ncclCommInitRank", "{} of {}, {}..{}", rank, ranks, int{id.internal[0]},
                int{id.internal[NCCL_UNIQUE_ID_BYTES - 1]});
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return called("ncclCommDestroy", "");
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  delete comm;
  return called("ncclCommAbort", "");
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* status) {
  *status = called("ncclCommGetAsyncError", "");
  return ncclSuccess;
}
ncclResult_t ncclRedOpCreatePreMulSum(ncclRedOp_t* operation, void* scalar, ncclDataType_t type, ncclScalarResidence_t where,
                                      ncclComm_t comm) {
  *operation = static_cast<ncclRedOp_t>(100 + comm->operations++);
  return called("ncclRedOpCreatePreMulSum", "{} {} {}", *static_cast<float*>(scalar), type == ncclFloat32 ? "float" : "?",
                where == ncclScalarHostImmediate ? "host" : "device");
}
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t operation, ncclComm_t,
                           cudaStream_t stream) {
  return called("ncclAllReduce", "{} {} x {} {} operation {} on {}", from, to, count, type == ncclFloat32 ? "float" : "?",
                static_cast<int>(operation), static_cast<void*>(stream));
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t,
                           cudaStream_t stream) {
  return called("ncclBroadcast", "{} {} x {} {} of {} on {}", from, to, count, type == ncclFloat32 ? "float" : "?", root,
                static_cast<void*>(stream));
}

}  // extern "C"
