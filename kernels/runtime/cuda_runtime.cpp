// GPUs through the CUDA runtime. Each block of memory is one cudaMalloc, so that one IPC handle exports all of it. Streams do
// not synchronise with the default stream.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include "kernels/runtime/device_runtime.h"
#include "kernels/runtime/error.h"

namespace apam {
namespace {

template <class... Args>
void check(cudaError_t status, fmt::format_string<Args...> operation, Args&&... args) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clear the error: the next call must not report it again
  fail<DeviceError>("cuda: {}: {}", fmt::format(operation, std::forward<Args>(args)...), cudaGetErrorString(status));
}

std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

void from_hex(std::string_view text, std::span<std::byte> bytes) {
  require<DeviceError>(text.size() == 2 * bytes.size(), "cuda: a name of memory with {} characters, expected {}", text.size(),
                       2 * bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::string_view digits = text.substr(2 * i, 2);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, 16);
    require<DeviceError>(error == std::errc{} && end == digits.end(), "cuda: a name of memory with '{}', expected digits",
                         digits);
    bytes[i] = static_cast<std::byte>(value);
  }
}

/// Every function that depends on the thread's current GPU selects it first. None selects the former one again: that would make
/// each process allocate a context on GPU 0.
void select(int index) { check(cudaSetDevice(index), "selecting GPU {}", index); }

class CudaRuntime final : public DeviceRuntime {
 public:
  CudaRuntime() {
    int count = 0;
    check(cudaGetDeviceCount(&count), "counting GPUs");
    require<DeviceError>(count > 0, "cuda: no GPU found");
  }

  void* allocate(std::size_t bytes, int index) override {
    select(index);
    void* data = nullptr;
    check(cudaMalloc(&data, std::max<std::size_t>(bytes, 1)), "allocating {} bytes on GPU {}", bytes, index);
    return data;
  }
  void release(void* data, int index) noexcept override {
    report(cudaFree(data), "releasing memory", index);  // finds the GPU by the address
  }
  void* allocate_pinned(std::size_t bytes, int index) override {
    select(index);
    void* data = nullptr;
    check(cudaHostAlloc(&data, std::max<std::size_t>(bytes, 1), cudaHostAllocPortable),
          "allocating {} bytes of pinned memory for GPU {}", bytes, index);
    return data;
  }
  void release_pinned(void* data, int index) noexcept override { report(cudaFreeHost(data), "releasing pinned memory", index); }

  std::string export_memory(void* data, std::size_t bytes, int index) override {
    select(index);
    cudaIpcMemHandle_t handle{};
    check(cudaIpcGetMemHandle(&handle, data), "naming {} bytes on GPU {} for other processes", bytes, index);
    return to_hex(std::as_bytes(std::span(&handle, 1)));
  }
  void* import_memory(const std::string& name, int index) override {
    select(index);
    cudaIpcMemHandle_t handle{};
    from_hex(name, std::as_writable_bytes(std::span(&handle, 1)));
    void* data = nullptr;
    check(cudaIpcOpenMemHandle(&data, handle, cudaIpcMemLazyEnablePeerAccess), "mapping memory of another process for GPU {}",
          index);
    return data;
  }
  void release_imported(void* data, int index) noexcept override {
    report(cudaSetDevice(index), "selecting the GPU to release memory of another process", index);  // the one that opened it
    report(cudaIpcCloseMemHandle(data), "releasing memory of another process", index);
  }

  NativeHandle make_stream(int index) override {
    select(index);
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream on GPU {}", index);
    return stream;
  }
  void destroy_stream(NativeHandle stream, int index) noexcept override {
    report(cudaStreamDestroy(native_stream(stream)), "destroying a stream", index);
  }
  void synchronize_stream(NativeHandle stream, int index) override {
    select(index);
    check(cudaStreamSynchronize(native_stream(stream)), "waiting for a stream of GPU {}", index);
  }

  std::string identity(int index) override {
    std::array<char, 32> address{};  // "0000:1a:00.0"
    check(cudaDeviceGetPCIBusId(address.data(), static_cast<int>(address.size()), index), "asking for the address of GPU {}",
          index);
    return address.data();
  }
  void select(int index) override { apam::select(index); }

  void synchronize(int index) override {
    const std::lock_guard lock(recording_);
    select(index);
    check(cudaDeviceSynchronize(), "waiting for GPU {}", index);
  }

  void copy(NativeHandle stream, void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) override {
    select(to_device.kind == DeviceKind::cuda ? to_device.index : from_device.index);
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native_stream(stream)), "copying {} bytes from {} to {}", bytes,
          to_string(from_device), to_string(to_device));
  }
  void zero(NativeHandle stream, void* data, int index, std::size_t bytes) override {
    select(index);
    check(cudaMemsetAsync(data, 0, bytes, native_stream(stream)), "clearing {} bytes on GPU {}", bytes, index);
  }

  NativeHandle make_event(int index) override {
    select(index);
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event on GPU {}", index);
    return event;
  }
  void destroy_event(NativeHandle event, int index) noexcept override {
    report(cudaEventDestroy(native_event(event)), "destroying an event", index);
  }
  void record_event(NativeHandle event, NativeHandle stream, int index) override {
    select(index);
    check(cudaEventRecord(native_event(event), native_stream(stream)), "recording an event on GPU {}", index);
  }
  void wait_event(NativeHandle stream, NativeHandle event, int index) override {
    select(index);
    check(cudaStreamWaitEvent(native_stream(stream), native_event(event), 0), "ordering a stream of GPU {} by an event", index);
  }
  bool event_done(NativeHandle event, int index) override {
    const cudaError_t status = cudaEventQuery(native_event(event));
    if (status == cudaErrorNotReady) return false;
    check(status, "querying an event of GPU {}", index);
    return true;
  }
  void synchronize_event(NativeHandle event, int index) override {
    check(cudaEventSynchronize(native_event(event)), "waiting for an event of GPU {}", index);
  }

  double time(NativeHandle stream, int index, const std::function<void()>& work) override {
    select(index);
    const TimingEvent begin, end;
    begin.record(native_stream(stream));
    work();
    end.record(native_stream(stream));
    check(cudaEventSynchronize(end.get()), "waiting for timed work on GPU {}", index);
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "timing work on GPU {}", index);
    return milliseconds;
  }

  bool has_graphs() const override { return true; }
  NativeHandle record_graph(NativeHandle stream, int index, const std::function<void()>& work) override {
    const std::lock_guard lock(recording_);
    select(index);
    const cudaStream_t native = native_stream(stream);
    // Thread-local: other threads may allocate meanwhile.
    check(cudaStreamBeginCapture(native, cudaStreamCaptureModeThreadLocal), "beginning to record a graph on GPU {}", index);
    cudaGraph_t recorded = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(native, &recorded);
      cudaGetLastError();
      if (recorded != nullptr) cudaGraphDestroy(recorded);
      throw;
    }
    check(cudaStreamEndCapture(native, &recorded), "recording a graph on GPU {}", index);
    const std::unique_ptr<CUgraph_st, decltype(&cudaGraphDestroy)> owner(recorded, &cudaGraphDestroy);
    auto graph = std::make_unique<RecordedGraph>();
    check(cudaGraphGetNodes(recorded, nullptr, &graph->nodes), "counting the nodes of a graph on GPU {}", index);
    check(cudaGraphInstantiate(&graph->native, recorded, 0), "preparing a graph of {} nodes on GPU {}", graph->nodes, index);
    return graph.release();
  }
  void destroy_graph(NativeHandle graph, int index) noexcept override {
    const std::unique_ptr<RecordedGraph> owner(static_cast<RecordedGraph*>(graph));
    report(cudaGraphExecDestroy(owner->native), "destroying a graph", index);
  }
  void replay_graph(NativeHandle graph, NativeHandle stream, int index) override {
    select(index);
    check(cudaGraphLaunch(static_cast<RecordedGraph*>(graph)->native, native_stream(stream)), "starting a graph on GPU {}",
          index);
  }
  std::size_t graph_nodes(NativeHandle graph) const override { return static_cast<RecordedGraph*>(graph)->nodes; }

 private:
  std::recursive_mutex recording_;  // CUDA forbids waiting for a GPU while any thread records on it

  struct RecordedGraph {
    cudaGraphExec_t native = nullptr;
    std::size_t nodes = 0;
  };

  /// An event with a time, on the current GPU.
  class TimingEvent {
   public:
    TimingEvent() { check(cudaEventCreate(&event_), "creating an event for timing"); }
    ~TimingEvent() { cudaEventDestroy(event_); }
    TimingEvent(const TimingEvent&) = delete;
    TimingEvent& operator=(const TimingEvent&) = delete;

    cudaEvent_t get() const { return event_; }
    void record(cudaStream_t stream) const { check(cudaEventRecord(event_, stream), "recording an event for timing"); }

   private:
    cudaEvent_t event_ = nullptr;
  };

  static cudaStream_t native_stream(NativeHandle stream) { return static_cast<cudaStream_t>(stream); }
  static cudaEvent_t native_event(NativeHandle event) { return static_cast<cudaEvent_t>(event); }

  /// For destructors: prints an error, except at the end of the process, when CUDA has released everything itself.
  static void report(cudaError_t status, std::string_view operation, int index) noexcept {
    if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
    fmt::print(stderr, "cuda: {} on GPU {}: {}\n", operation, index, cudaGetErrorString(status));
  }
};

}  // namespace

std::vector<std::string> gpu_names() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {  // also without a driver
    cudaGetLastError();
    return {};
  }
  std::vector<std::string> names;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "querying GPU {}", index);
    names.emplace_back(properties.name);
  }
  return names;
}

DeviceRuntime& cuda_runtime() {
  static auto* const runtime = new CudaRuntime;  // never destroyed: a static Buffer may be released later
  return *runtime;
}

}  // namespace apam
