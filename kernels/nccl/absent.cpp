// For builds without NCCL.
#include "kernels/nccl/gpu_group.h"

namespace apam::kernels::nccl {

std::string new_group() { fail<DeviceError>("nccl: {}", absence()); }
std::unique_ptr<GpuGroup> join_group(const std::string&, int, int, Device) { fail<DeviceError>("nccl: {}", absence()); }

const std::string& absence() {
  static const std::string reason = "not built";
  return reason;
}
std::string status() { return absence(); }

}  // namespace apam::kernels::nccl
