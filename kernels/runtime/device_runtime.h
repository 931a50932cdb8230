// What one kind of device provides: memory, streams, copies, events and graphs. Implemented by cpu_runtime.cpp and by
// cuda_runtime.cpp, or no_cuda_runtime.cpp in builds without CUDA. Buffer, Stream, Event and Graph are the owners; use this
// interface through them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/runtime/device.h"

namespace apam {

/// Where a Buffer's memory is.
enum class MemoryKind : std::uint8_t {
  device,  ///< on the device
  pinned,  ///< host memory that the device copies from and to without blocking the host
  host,    ///< host memory
};

/// A stream, an event or a graph of a device; null on the CPU.
using NativeHandle = void*;

/// `index` is the device's; handles belong to it. On the CPU all work is done when a call returns.
class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;

  virtual void* allocate(std::size_t bytes, int index) = 0;  ///< Throws OutOfMemory or another DeviceError.
  virtual void release(void* data, int index) noexcept = 0;
  virtual void* allocate_pinned(std::size_t bytes, int index) = 0;
  virtual void release_pinned(void* data, int index) noexcept = 0;

  /// A name of a block of memory, for other processes of this host. Throws DeviceError if the device has none.
  virtual std::string export_memory(void* data, std::size_t bytes, int index) = 0;
  /// Maps a block that another process has exported, possibly of another device of the same kind. Throws DeviceError.
  virtual void* import_memory(const std::string& name, int index) = 0;
  virtual void release_imported(void* data, int index) noexcept = 0;

  virtual NativeHandle make_stream(int index) = 0;
  virtual void destroy_stream(NativeHandle stream, int index) noexcept = 0;
  /// Waits for all work on the stream; null: the device's default stream. Throws what a kernel has failed with.
  virtual void synchronize_stream(NativeHandle stream, int index) = 0;

  /// Waits for all work on all streams.
  virtual void synchronize(int index) = 0;

  /// Names the hardware, the same in all processes of a host, regardless of the index that each has for it.
  virtual std::string identity(int index) = 0;

  /// Makes the device the calling thread's own, as vendors' libraries expect.
  virtual void select(int index) = 0;

  /// In order with the other work of the stream. Host memory that is not pinned may be reused when the call returns.
  virtual void copy(NativeHandle stream, void* to, Device to_device, const void* from, Device from_device,
                    std::size_t bytes) = 0;
  virtual void zero(NativeHandle stream, void* data, int index, std::size_t bytes) = 0;

  virtual NativeHandle make_event(int index) = 0;
  virtual void destroy_event(NativeHandle event, int index) noexcept = 0;
  virtual void record_event(NativeHandle event, NativeHandle stream, int index) = 0;
  /// Makes later work of the stream wait for the event.
  virtual void wait_event(NativeHandle stream, NativeHandle event, int index) = 0;
  virtual bool event_done(NativeHandle event, int index) = 0;
  virtual void synchronize_event(NativeHandle event, int index) = 0;

  /// Milliseconds that the device takes for the work that `work` gives to the stream, without the time to give it if the device
  /// has a clock of its own. Waits for it.
  virtual double time(NativeHandle stream, int index, const std::function<void()>& work) = 0;

  /// Whether the device has graphs: work that is recorded once and then started as a whole.
  virtual bool has_graphs() const = 0;
  /// Calls `work` and records what it gives to the stream, in place of running it. Throws what `work` throws; then nothing is
  /// recorded. Also throws if `work` waits for the stream or allocates. Only if has_graphs().
  virtual NativeHandle record_graph(NativeHandle stream, int index, const std::function<void()>& work) = 0;
  virtual void destroy_graph(NativeHandle graph, int index) noexcept = 0;
  /// Runs the recorded work, in order with the other work of the stream.
  virtual void replay_graph(NativeHandle graph, NativeHandle stream, int index) = 0;
  /// Number of kernels, copies and fills.
  virtual std::size_t graph_nodes(NativeHandle graph) const = 0;
};

/// Throws DeviceError if this build or this machine has no such device.
DeviceRuntime& device_runtime(DeviceKind kind);
DeviceRuntime& cpu_runtime();
DeviceRuntime& cuda_runtime();

/// The names of the GPUs of this machine, by device index; empty without CUDA, a driver or a GPU.
std::vector<std::string> gpu_names();

}  // namespace apam
