#include "kernels/nccl/gpu_group.h"

#include <nccl.h>

#include <algorithm>
#include <map>

#include "kernels/nccl/built_with.h"
#include "kernels/runtime/loaded_library.h"

namespace apam::kernels::nccl {
namespace {

constexpr const char* kFile = "libnccl.so.2";
constexpr int kOldest = 21400;  // the first in which all functions below were stable

/// The functions of NCCL, under the library's names without "nccl".
struct Library {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) get_error_string;
  decltype(&ncclGetLastError) get_last_error;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRank) comm_init_rank;
  decltype(&ncclCommDestroy) comm_destroy;
  decltype(&ncclCommAbort) comm_abort;
  decltype(&ncclCommGetAsyncError) comm_get_async_error;
  decltype(&ncclRedOpCreatePreMulSum) make_scaled_sum;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclBroadcast) broadcast;

  std::string version;  // "2.28.9"
  std::string path;
};

Library functions_of(const OpenLibrary& opened) {
  Library library{};
  library.path = opened.path();
  opened.find(library.get_version, "ncclGetVersion");
  opened.find(library.get_error_string, "ncclGetErrorString");
  opened.find(library.get_last_error, "ncclGetLastError");
  opened.find(library.get_unique_id, "ncclGetUniqueId");
  opened.find(library.comm_init_rank, "ncclCommInitRank");
  opened.find(library.comm_destroy, "ncclCommDestroy");
  opened.find(library.comm_abort, "ncclCommAbort");
  opened.find(library.comm_get_async_error, "ncclCommGetAsyncError");
  opened.find(library.make_scaled_sum, "ncclRedOpCreatePreMulSum");
  opened.find(library.all_reduce, "ncclAllReduce");
  opened.find(library.broadcast, "ncclBroadcast");
  int version = 0;
  const ncclResult_t status = library.get_version(&version);
  library.version = fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  require<DeviceError>(status == ncclSuccess && version >= kOldest, "{} is NCCL {}, 2.14 or newer is required", library.path,
                       library.version);
  return library;
}

const LoadedLibrary<Library>& loaded() {
  static const auto result = load_library<Library>(library_places("APAM_NCCL", kFile, kLibraryOfBuild), functions_of);
  return result;
}

const Library& library() { return loaded().get("nccl"); }

/// "nccl: WHAT: unhandled system error: reason"
void check_call(ncclResult_t status, ncclComm_t comm, const std::string& what) {
  if (status == ncclSuccess) return;
  const std::string text = library().get_last_error(comm);
  const std::string line = text.substr(0, text.find('\n'));
  fail<DeviceError>("nccl: {}: {}{}{}", what, library().get_error_string(status), line.empty() ? "" : ": ", line);
}

void select(Device gpu) { device_runtime(gpu.kind).select(gpu.index); }

class NcclGroup final : public GpuGroup {
 public:
  NcclGroup(const ncclUniqueId& id, int rank, int ranks, Device gpu) : gpu_(gpu) {
    select(gpu);
    check_call(library().comm_init_rank(&comm_, ranks, id, rank), nullptr,
               fmt::format("rank {} of {} on {} joins the others", rank, ranks, to_string(gpu)));
  }
  /// After an error the work of the other ranks may never come: then it is given up.
  ~NcclGroup() override {
    const ncclResult_t status = failed_ ? library().comm_abort(comm_) : library().comm_destroy(comm_);
    if (status != ncclSuccess) fmt::print(stderr, "nccl: leaving a group: {}\n", library().get_error_string(status));
  }
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  void sum(const Stream& stream, Span<float> values, float factor) override {
    select(gpu_);
    const ncclRedOp_t operation = factor == 1.0F ? ncclSum : scaled_sum(factor);
    expect(library().all_reduce(values.data(), values.data(), values.size(), ncclFloat32, operation, comm_, native(stream)),
           "summing", values.size());
  }

  void broadcast(const Stream& stream, Span<float> values) override {
    select(gpu_);
    expect(library().broadcast(values.data(), values.data(), values.size(), ncclFloat32, 0, comm_, native(stream)),
           "broadcasting", values.size());
  }

  void check() override {
    ncclResult_t status = ncclSuccess;
    expect(library().comm_get_async_error(comm_, &status), "asking for errors of", 0);
    failed_ = failed_ || status != ncclSuccess;
    check_call(status, comm_, fmt::format("earlier work on {}", to_string(gpu_)));
  }

 private:
  static cudaStream_t native(const Stream& stream) { return static_cast<cudaStream_t>(stream.native()); }

  void expect(ncclResult_t status, std::string_view what, std::size_t floats) {
    failed_ = failed_ || status != ncclSuccess;
    check_call(status, comm_, fmt::format("{} {} floats on {}", what, floats, to_string(gpu_)));
  }

  /// NCCL keeps an operation per factor. There are few: shares of mini-batches have one or two sizes.
  ncclRedOp_t scaled_sum(float factor) {
    if (const auto found = scaled_sums_.find(factor); found != scaled_sums_.end()) return found->second;
    ncclRedOp_t made = ncclSum;
    expect(library().make_scaled_sum(&made, &factor, ncclFloat32, ncclScalarHostImmediate, comm_), "making a scaled sum of", 1);
    return scaled_sums_[factor] = made;
  }

  Device gpu_;
  ncclComm_t comm_ = nullptr;
  bool failed_ = false;
  std::map<float, ncclRedOp_t> scaled_sums_;  // released with the group
};

}  // namespace

std::string new_group() {
  ncclUniqueId id{};
  check_call(library().get_unique_id(&id), nullptr, "naming a group");
  return {id.internal, sizeof id.internal};
}

std::unique_ptr<GpuGroup> join_group(const std::string& name, int rank, int ranks, Device gpu) {
  ncclUniqueId id{};
  require<DeviceError>(name.size() == sizeof id.internal, "nccl: a group's name of {} bytes, expected {}", name.size(),
                       sizeof id.internal);
  std::copy(name.begin(), name.end(), id.internal);
  return std::make_unique<NcclGroup>(id, rank, ranks, gpu);
}

const std::string& absence() { return loaded().absence; }

std::string status() { return loaded().status(); }

}  // namespace apam::kernels::nccl
