// GPUs of several processes, one of each, that sum and copy memory among themselves, by NCCL 2. Implemented by gpu_group.cpp,
// or by absent.cpp in builds without NCCL.
//
// The library is loaded at run time, see kernels/runtime/loaded_library.h: $APAM_NCCL, libnccl.so.2, or where the build found
// it. The copy of a PyTorch wheel, site-packages/nvidia/nccl/lib, will do.
#pragma once

#include <memory>
#include <string>

#include "kernels/runtime/span.h"
#include "kernels/runtime/stream.h"

namespace apam::kernels::nccl {

/// All ranks make the same calls in the same order, with spans of the same sizes. Work is in order with the other work of the
/// stream; the host does not wait. The spans and the stream are of the rank's GPU.
class GpuGroup {
 public:
  virtual ~GpuGroup() = default;

  /// values = the sum over the ranks of factor * values, of which each rank has its own. All ranks get the same bits.
  virtual void sum(const Stream& stream, Span<float> values, float factor) = 0;

  /// values = those of rank 0.
  virtual void broadcast(const Stream& stream, Span<float> values) = 0;

  /// Throws DeviceError if work so far is known to have failed. Does not wait.
  virtual void check() = 0;
};

/// The name of a new group: bytes that rank 0 sends to the other ranks. Throws DeviceError with absence().
std::string new_group();

/// Joins the group with a GPU. Collective, and waits for all ranks. Throws DeviceError, e.g. if two ranks have the same GPU.
std::unique_ptr<GpuGroup> join_group(const std::string& name, int rank, int ranks, Device gpu);

/// Why NCCL cannot be used: "not built", "not found: ..."; empty if it can.
const std::string& absence();

/// "2.28.9, PATH" of the library, or absence().
std::string status();

}  // namespace apam::kernels::nccl
