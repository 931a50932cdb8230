#include "kernels/runtime/buffer.h"

#include <atomic>

namespace apam {
namespace {

std::atomic<std::uint64_t> allocation_count{0};

}  // namespace

DeviceMemory& device_memory(DeviceKind kind) { return kind == DeviceKind::cpu ? cpu_memory() : cuda_memory(); }

Buffer::Buffer(Device device, std::size_t bytes)
    : data_(static_cast<std::byte*>(device_memory(device.kind).allocate(bytes, device.index)), Release{device}),
      bytes_(bytes),
      device_(device) {
  ++allocation_count;
}

void Buffer::Release::operator()(std::byte* data) const noexcept { device_memory(device.kind).release(data, device.index); }

std::uint64_t Buffer::allocations() { return allocation_count; }

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) {
  if (bytes == 0) return;
  const bool gpu = to_device.kind == DeviceKind::cuda || from_device.kind == DeviceKind::cuda;
  device_memory(gpu ? DeviceKind::cuda : DeviceKind::cpu).copy(to, to_device, from, from_device, bytes);
}

void copy(In from, Out to) {
  require<ShapeError>(from.size() == to.size(), "copy: source has {} elements, destination {}", from.size(), to.size());
  require<TypeError>(from.empty() || from.type() == to.type(), "copy: source is {}, destination {}", to_string(from.type()),
                     to_string(to.type()));
  copy_bytes(to.bytes(), to.device(), from.bytes(), from.device(), from.size_bytes());
}

void zero(Out values) {
  if (values.empty()) return;
  device_memory(values.device().kind).zero(values.bytes(), values.device().index, values.size_bytes());
}

}  // namespace apam
