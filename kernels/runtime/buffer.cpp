#include "kernels/runtime/buffer.h"

#include <atomic>

namespace apam {
namespace {

std::atomic<std::uint64_t> allocation_count{0};

}  // namespace

DeviceRuntime& device_runtime(DeviceKind kind) { return kind == DeviceKind::cpu ? cpu_runtime() : cuda_runtime(); }

namespace {

std::byte* allocate(Device device, std::size_t bytes, MemoryKind kind) {
  DeviceRuntime& runtime = device_runtime(device.kind);
  return static_cast<std::byte*>(kind == MemoryKind::pinned ? runtime.allocate_pinned(bytes, device.index)
                                                            : runtime.allocate(bytes, device.index));
}

}  // namespace

Buffer::Buffer(Device device, std::size_t bytes, MemoryKind kind)
    : bytes_(bytes), device_(kind == MemoryKind::device ? device : Device{}) {
  const Device owner = kind == MemoryKind::host ? Device{} : device;
  data_ = {allocate(owner, bytes, kind), Release{owner, kind}};
  ++allocation_count;
}

void Buffer::Release::operator()(std::byte* data) const noexcept {
  DeviceRuntime& runtime = device_runtime(device.kind);
  if (kind == MemoryKind::pinned) return runtime.release_pinned(data, device.index);
  runtime.release(data, device.index);
}

std::string export_memory(const Buffer& buffer) {
  return device_runtime(buffer.device().kind).export_memory(buffer.data(), buffer.size_bytes(), buffer.device().index);
}

ImportedMemory::ImportedMemory(Device device, const std::string& name, std::size_t bytes)
    : data_(static_cast<std::byte*>(device_runtime(device.kind).import_memory(name, device.index)), Release{device}),
      bytes_(bytes),
      device_(device) {}

void ImportedMemory::Release::operator()(std::byte* data) const noexcept {
  device_runtime(device.kind).release_imported(data, device.index);
}

std::uint64_t Buffer::allocations() { return allocation_count; }

namespace {

/// The device whose runtime copies: the GPU, if there is one.
Device copying_device(Device to, Device from) { return to.kind == DeviceKind::cuda ? to : from; }

}  // namespace

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) {
  if (bytes == 0) return;
  const Device device = copying_device(to_device, from_device);
  DeviceRuntime& runtime = device_runtime(device.kind);
  runtime.synchronize(device.index);
  runtime.copy(nullptr, to, to_device, from, from_device, bytes);
  runtime.synchronize_stream(nullptr, device.index);
}

void require_copyable(In from, Out to) {
  require<ShapeError>(from.size() == to.size(), "copy: source has {} elements, destination {}", from.size(), to.size());
  require<TypeError>(from.empty() || from.type() == to.type(), "copy: source is {}, destination {}", to_string(from.type()),
                     to_string(to.type()));
}

void copy(In from, Out to) {
  require_copyable(from, to);
  copy_bytes(to.bytes(), to.device(), from.bytes(), from.device(), from.size_bytes());
}

void copy(const Stream& stream, In from, Out to) {
  require_copyable(from, to);
  if (from.empty()) return;
  const Device device = copying_device(to.device(), from.device());
  device_runtime(device.kind).copy(stream.native(), to.bytes(), to.device(), from.bytes(), from.device(), from.size_bytes());
}

void zero(Out values) {
  if (values.empty()) return;
  const Device device = values.device();
  DeviceRuntime& runtime = device_runtime(device.kind);
  runtime.synchronize(device.index);
  runtime.zero(nullptr, values.bytes(), device.index, values.size_bytes());
  runtime.synchronize_stream(nullptr, device.index);
}

void zero(const Stream& stream, Out values) {
  if (values.empty()) return;
  const Device device = values.device();
  device_runtime(device.kind).zero(stream.native(), values.bytes(), device.index, values.size_bytes());
}

}  // namespace apam
