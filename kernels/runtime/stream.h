// Order of work on a device. What an Exec is given (kernels, copies, fills) runs on its stream, in the order of the calls; the
// host does not wait for it. On the CPU a stream is program order: work is done when the call returns.
#pragma once

#include <memory>

#include "kernels/runtime/device_runtime.h"

namespace apam {

namespace detail {

/// Deletes a stream, an event or a graph of a device.
struct ReleaseHandle {
  Device device;
  void (DeviceRuntime::*destroy)(NativeHandle, int) noexcept;
  void operator()(void* handle) const noexcept { (device_runtime(device.kind).*destroy)(handle, device.index); }
};
using OwnedHandle = std::unique_ptr<void, ReleaseHandle>;

}  // namespace detail

/// Move-only. Work on different streams may overlap and is ordered only by events.
class Stream {
 public:
  /// Throws DeviceError if the device is not available.
  explicit Stream(Device device = {})
      : device_(device),
        handle_(device_runtime(device.kind).make_stream(device.index), Release{device, &DeviceRuntime::destroy_stream}) {}

  Device device() const { return device_; }
  /// The cudaStream_t of a GPU; null on the CPU.
  NativeHandle native() const { return handle_.get(); }

  /// Waits for all work so far. Throws DeviceError if some of it has failed.
  void synchronize() const { device_runtime(device_.kind).synchronize_stream(native(), device_.index); }

  /// Milliseconds of the work that `work` gives to this stream; waits for it.
  double time(const std::function<void()>& work) const {
    return device_runtime(device_.kind).time(native(), device_.index, work);
  }

 private:
  using Release = detail::ReleaseHandle;

  Device device_;
  detail::OwnedHandle handle_;
};

/// A point in a stream's work. Move-only. An event that was never recorded is done.
class Event {
 public:
  explicit Event(Device device = {})
      : device_(device),
        handle_(device_runtime(device.kind).make_event(device.index), Release{device, &DeviceRuntime::destroy_event}) {}

  /// Marks the end of the stream's work so far; replaces an earlier mark. The stream must be of the event's device.
  void record(const Stream& stream) { runtime().record_event(handle_.get(), stream.native(), device_.index); }
  /// Makes the stream's later work wait for the event; the host does not wait.
  void wait(const Stream& stream) const { runtime().wait_event(stream.native(), handle_.get(), device_.index); }
  /// Whether the recorded work is done.
  bool done() const { return runtime().event_done(handle_.get(), device_.index); }
  /// Waits for the recorded work.
  void synchronize() const { runtime().synchronize_event(handle_.get(), device_.index); }

 private:
  DeviceRuntime& runtime() const { return device_runtime(device_.kind); }

  using Release = detail::ReleaseHandle;

  Device device_;
  detail::OwnedHandle handle_;
};

/// Work of a stream that was recorded once and can be replayed: the same kernels, copies and fills with the same arguments, at
/// the cost of one launch. Move-only. What the work reads and writes must stay where it was.
class Graph {
 public:
  /// Whether the device can record; the CPU cannot.
  static bool supported(Device device) { return device_runtime(device.kind).has_graphs(); }

  /// Calls `work` once, and records what it gives to the stream in place of running it. It must not wait for the stream or
  /// allocate memory of the device.
  Graph(const Stream& stream, const std::function<void()>& work)
      : device_(stream.device()),
        handle_(runtime().record_graph(stream.native(), device_.index, work), Release{device_, &DeviceRuntime::destroy_graph}) {
  }

  /// In order with the other work of the stream, which must be of the device that recorded.
  void replay(const Stream& stream) const { runtime().replay_graph(handle_.get(), stream.native(), device_.index); }
  /// Number of kernels, copies and fills.
  std::size_t nodes() const { return runtime().graph_nodes(handle_.get()); }

 private:
  DeviceRuntime& runtime() const { return device_runtime(device_.kind); }

  using Release = detail::ReleaseHandle;

  Device device_;
  detail::OwnedHandle handle_;
};

}  // namespace apam
