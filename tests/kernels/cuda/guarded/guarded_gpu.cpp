#include "tests/kernels/cuda/guarded/guarded_gpu.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/cuda/emulator/kernel_host.h"
#include "kernels/runtime/error.h"

namespace apam::support {
namespace {

using kernels::cuda::emulator::KernelHost;
using kernels::cuda::emulator::Machine;
using Work = std::function<void()>;

/// Address space of which nothing is accessible, except while it is open. Other processes can map its blocks.
class GuardedMemory {
 public:
  GuardedMemory() : file_(::memfd_create("guarded GPU", MFD_CLOEXEC)) {
    require<DeviceError>(file_ >= 0 && ::ftruncate(file_, kBytes) == 0, "guarded GPU: no file of {} bytes", kBytes);
    base_ = static_cast<std::byte*>(::mmap(nullptr, kBytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, file_, 0));
    accessible_ =
        static_cast<std::byte*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_, 0));
    require<DeviceError>(base_ != MAP_FAILED && accessible_ != MAP_FAILED,
                         "guarded GPU: {} bytes of address space are not available", 2 * kBytes);
    free_[0] = kBytes;
  }

  /// "process file offset bytes"
  std::string name(const void* data) const {
    const auto block = used_.find(static_cast<std::size_t>(static_cast<const std::byte*>(data) - base_));
    require<DeviceError>(block != used_.end(), "guarded GPU: the name of memory that is no block, there are {}", used_.size());
    return fmt::format("{} {} {} {}", ::getpid(), file_, block->first, block->second);
  }
  void* map(const std::string& name) {
    std::array<std::size_t, 4> numbers{};
    const char* next = name.data();
    for (std::size_t& number : numbers) {
      const auto [end, error] = std::from_chars(next, name.data() + name.size(), number);
      require<DeviceError>(error == std::errc{}, "guarded GPU: '{}' is no name of memory", name);
      next = end < name.data() + name.size() ? end + 1 : end;
    }
    const auto [process, file, offset, bytes] = numbers;
    require<DeviceError>(process != static_cast<std::size_t>(::getpid()), "guarded GPU: process {} maps its own memory",
                         process);
    const int opened = ::open(fmt::format("/proc/{}/fd/{}", process, file).c_str(), O_RDWR | O_CLOEXEC);
    void* const data = ::mmap(nullptr, bytes, PROT_NONE, MAP_SHARED, opened, static_cast<off_t>(offset));
    ::close(opened);
    require<DeviceError>(data != MAP_FAILED, "guarded GPU: {} bytes of process {} cannot be mapped", bytes, process);
    mapped_[static_cast<std::byte*>(data)] = bytes;
    if (open_ > 0) protect(PROT_READ | PROT_WRITE);
    return data;
  }
  void unmap(void* data) {
    const auto block = mapped_.find(static_cast<std::byte*>(data));
    ::munmap(block->first, block->second);
    mapped_.erase(block);
  }

  std::byte* take(std::size_t wanted) {
    const std::size_t bytes = (std::max<std::size_t>(wanted, 1) + kPage - 1) / kPage * kPage;
    for (auto hole = free_.begin(); wanted <= kBytes && hole != free_.end(); ++hole) {
      const auto [offset, size] = *hole;
      if (size < bytes) continue;
      free_.erase(hole);
      if (size > bytes) free_[offset + bytes] = size - bytes;
      used_[offset] = bytes;
      end_ = std::max(end_, offset + bytes);
      if (open_ > 0) protect(PROT_READ | PROT_WRITE);
      return base_ + offset;
    }
    fail<OutOfMemory>("guarded GPU: {} bytes requested", wanted);
  }
  void give_back(void* data) {
    const auto block = used_.find(static_cast<std::size_t>(static_cast<std::byte*>(data) - base_));
    // Zero again, and not in memory.
    ::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(block->first),
                static_cast<off_t>(block->second));
    free_.insert(*block);
    used_.erase(block);
  }
  bool contains(const void* data) const {
    const auto inside = [data](const std::byte* first, std::size_t bytes) { return data >= first && data < first + bytes; };
    return inside(base_, kBytes) ||
           std::ranges::any_of(mapped_, [&](const auto& block) { return inside(block.first, block.second); });
  }

  void* accessible(const void* data) const {
    const auto* address = static_cast<const std::byte*>(data);
    return address >= base_ && address < base_ + kBytes ? accessible_ + (address - base_) : const_cast<void*>(data);
  }

  /// Runs work that may access the memory.
  void with_access(const Work& work) {
    if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
    try {
      work();
    } catch (...) {
      close();
      throw;
    }
    close();
  }

 private:
  static constexpr std::size_t kBytes = std::size_t{64} << 30U, kPage = 4096;

  void close() {
    if (--open_ == 0) protect(PROT_NONE);
  }
  void protect(int access) const {
    if (end_ > 0) ::mprotect(base_, end_, access);
    for (const auto& [first, bytes] : mapped_) ::mprotect(first, bytes, access);
  }

  int file_;
  std::byte *base_ = nullptr, *accessible_ = nullptr;
  std::size_t end_ = 0;  // of the part that was ever used
  std::map<std::size_t, std::size_t> free_, used_;
  std::map<std::byte*, std::size_t> mapped_;  // blocks of other processes
  int open_ = 0;
};

struct Item {
  Work work;
  bool kernel = false;
};
using Recorded = std::vector<Item>;

struct LateStream {
  std::deque<Item> pending;
  std::int64_t given = 0, done = 0;
  std::shared_ptr<Recorded> recording;
};
using StreamRef = std::shared_ptr<LateStream>;

struct LateEvent {
  StreamRef stream;  // null: never recorded
  std::int64_t after = 0;
};

class GuardedGpu final : public DeviceRuntime, public KernelHost {
 public:
  void* allocate(std::size_t bytes, int) override {
    const std::lock_guard lock(mutex_);
    require<DeviceError>(recordings_ == 0, "guarded GPU: allocating {} bytes while a graph is recorded", bytes);
    return memory_.take(bytes);
  }
  void release(void* data, int) noexcept override {
    const std::lock_guard lock(mutex_);
    finish_everything();  // as cudaFree does
    memory_.give_back(data);
  }
  void* allocate_pinned(std::size_t bytes, int) override {
    const std::lock_guard lock(mutex_);
    auto* data = static_cast<std::byte*>(cpu_runtime().allocate(bytes, 0));
    pinned_[data] = bytes;
    return data;
  }
  void release_pinned(void* data, int) noexcept override {
    const std::lock_guard lock(mutex_);
    finish_everything();
    pinned_.erase(static_cast<std::byte*>(data));
    cpu_runtime().release(data, 0);
  }

  std::string export_memory(void* data, std::size_t, int) override {
    const std::lock_guard lock(mutex_);
    return memory_.name(data);
  }
  void* import_memory(const std::string& name, int) override {
    const std::lock_guard lock(mutex_);
    return memory_.map(name);
  }
  void release_imported(void* data, int) noexcept override {
    const std::lock_guard lock(mutex_);
    finish_everything();
    memory_.unmap(data);
  }

  NativeHandle make_stream(int) override {
    const std::lock_guard lock(mutex_);
    auto stream = std::make_shared<LateStream>();
    streams_[stream.get()] = stream;
    return stream.get();
  }
  void destroy_stream(NativeHandle stream, int) noexcept override {
    const std::lock_guard lock(mutex_);
    drain(*streams_.at(stream));
    streams_.erase(stream);
  }
  void synchronize_stream(NativeHandle stream, int) override {
    const std::lock_guard lock(mutex_);
    wait_for(*stream_of(stream));
  }

  void synchronize(int) override {
    const std::lock_guard lock(mutex_);
    require<DeviceError>(recordings_ == 0, "guarded GPU: waiting for the device while {} graphs are recorded", recordings_);
    ++counts_.waits;
    finish_everything();
  }

  std::string identity(int index) override { return fmt::format("guarded {}", index); }
  void select(int) override {}

  void copy(NativeHandle native, void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    LateStream& stream = *stream_of(native);
    require<DeviceError>(is_place(to, to_device) && is_place(from, from_device),
                         "guarded GPU: a copy of {} bytes from {} to {} with an address of the other", bytes,
                         to_string(from_device), to_string(to_device));
    const bool from_pageable = from_device.kind == DeviceKind::cpu && !is_pinned(from);
    const bool to_pageable = to_device.kind == DeviceKind::cpu && !is_pinned(to);
    require<DeviceError>(!stream.recording || !(from_pageable || to_pageable),
                         "guarded GPU: a copy of {} bytes of host memory that is not pinned, while a graph is recorded", bytes);
    ++counts_.copies;
    if (to_pageable) {
      wait_for(stream);
      return memory_.with_access([&] { std::memcpy(to, from, bytes); });
    }
    if (!from_pageable) return give(stream, {[=] { std::memcpy(to, from, bytes); }});
    const auto* first = static_cast<const std::byte*>(from);
    give(stream,
         {[to, staged = std::vector<std::byte>(first, first + bytes)] { std::memcpy(to, staged.data(), staged.size()); }});
  }
  void zero(NativeHandle stream, void* data, int, std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    ++counts_.copies;
    give(*stream_of(stream), {[=] { std::memset(data, 0, bytes); }});
  }

  NativeHandle make_event(int) override { return new LateEvent; }
  void destroy_event(NativeHandle event, int) noexcept override { delete static_cast<LateEvent*>(event); }
  void record_event(NativeHandle event, NativeHandle native, int) override {
    const std::lock_guard lock(mutex_);
    const StreamRef stream = stream_of(native);
    require<DeviceError>(!stream->recording, "guarded GPU: an event is recorded in a graph of {} nodes",
                         stream->recording ? stream->recording->size() : 0);
    *static_cast<LateEvent*>(event) = {stream, stream->given};
  }
  void wait_event(NativeHandle stream, NativeHandle event, int) override {
    const std::lock_guard lock(mutex_);
    give(*stream_of(stream), {[this, until = *static_cast<LateEvent*>(event)] { reach(until); }});
  }
  bool event_done(NativeHandle event, int) override {
    const std::lock_guard lock(mutex_);
    const auto& late = *static_cast<LateEvent*>(event);
    if (!is_reached(late)) run_one(*late.stream);  // so that polling ends
    return is_reached(late);
  }
  void synchronize_event(NativeHandle event, int) override {
    const std::lock_guard lock(mutex_);
    ++counts_.waits;
    reach(*static_cast<LateEvent*>(event));
  }

  double time(NativeHandle stream, int index, const Work& work) override {
    const auto begin = std::chrono::steady_clock::now();
    work();
    synchronize_stream(stream, index);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }

  bool has_graphs() const override { return true; }
  NativeHandle record_graph(NativeHandle native, int, const Work& work) override {
    const std::lock_guard lock(mutex_);
    const StreamRef stream = stream_of(native);
    stream->recording = std::make_shared<Recorded>();
    ++recordings_;
    try {
      work();
    } catch (...) {
      --recordings_;
      stream->recording.reset();
      throw;
    }
    --recordings_;
    return new std::shared_ptr<Recorded>(std::exchange(stream->recording, nullptr));
  }
  void destroy_graph(NativeHandle graph, int) noexcept override { delete static_cast<std::shared_ptr<Recorded>*>(graph); }
  void replay_graph(NativeHandle graph, NativeHandle stream, int) override {
    const std::lock_guard lock(mutex_);
    ++counts_.replays;
    for (const Item& item : **static_cast<std::shared_ptr<Recorded>*>(graph)) give(*stream_of(stream), item);
  }
  std::size_t graph_nodes(NativeHandle graph) const override {
    return (*static_cast<std::shared_ptr<Recorded>*>(graph))->size();
  }

  void give_work(NativeHandle stream, Work work) {
    const std::lock_guard lock(mutex_);
    ++counts_.copies;
    give(*stream_of(stream), {std::move(work)});
  }

  void launch(NativeHandle stream, std::function<void(Machine&)> kernel) override {
    const std::lock_guard lock(mutex_);
    give(*stream_of(stream), {[this, kernel = std::move(kernel)] { kernel(machine_); }, true});
  }

  void* accessible(const void* data) const { return memory_.accessible(data); }

  GpuCounts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }
  void leave_kernels_out(bool out) {
    const std::lock_guard lock(mutex_);
    finish_everything();
    without_kernels_ = out;
  }

 private:
  const StreamRef& stream_of(NativeHandle native) { return native == nullptr ? default_stream_ : streams_.at(native); }
  bool is_pinned(const void* data) const {
    const auto* address = static_cast<const std::byte*>(data);
    const auto after = pinned_.upper_bound(const_cast<std::byte*>(address));
    if (after == pinned_.begin()) return false;
    const auto block = std::prev(after);
    return address < block->first + block->second;
  }
  bool is_place(const void* data, Device device) const { return memory_.contains(data) == (device.kind == DeviceKind::cuda); }

  static void give(LateStream& stream, Item item) {
    if (stream.recording) return stream.recording->push_back(std::move(item));
    stream.pending.push_back(std::move(item));
    ++stream.given;
  }
  void run_one(LateStream& stream) {
    const Item item = std::move(stream.pending.front());
    stream.pending.pop_front();
    ++stream.done;
    if (item.kernel) {
      ++counts_.kernels;
      if (without_kernels_) return;
    }
    memory_.with_access(item.work);
  }
  void drain(LateStream& stream) {
    while (!stream.pending.empty()) run_one(stream);
  }
  void wait_for(LateStream& stream) {
    require<DeviceError>(!stream.recording, "guarded GPU: waiting for a stream while a graph of {} nodes is recorded",
                         stream.recording ? stream.recording->size() : 0);
    ++counts_.waits;
    drain(stream);
  }
  static bool is_reached(const LateEvent& event) { return !event.stream || event.stream->done >= event.after; }
  void reach(const LateEvent& event) {
    while (!is_reached(event)) run_one(*event.stream);
  }
  void finish_everything() {
    drain(*default_stream_);
    for (auto& [native, stream] : streams_) drain(*stream);
  }

  mutable std::recursive_mutex mutex_;
  GuardedMemory memory_;
  std::map<std::byte*, std::size_t> pinned_;
  StreamRef default_stream_ = std::make_shared<LateStream>();
  std::map<void*, StreamRef> streams_;
  int recordings_ = 0;
  Machine machine_;
  GpuCounts counts_;
  bool without_kernels_ = false;
};

GuardedGpu& gpu() {
  static auto* const only = new GuardedGpu;  // never destroyed: a static Buffer may be released later
  return *only;
}

}  // namespace

GpuCounts gpu_counts() { return gpu().counts(); }
void give_work(const Stream& stream, std::function<void()> work) { gpu().give_work(stream.native(), std::move(work)); }
void* accessible(const void* data) { return gpu().accessible(data); }
WithoutKernels::WithoutKernels() { gpu().leave_kernels_out(true); }
WithoutKernels::~WithoutKernels() { gpu().leave_kernels_out(false); }

}  // namespace apam::support

namespace apam {

DeviceRuntime& cuda_runtime() { return support::gpu(); }
std::vector<std::string> gpu_names() { return {"guarded", "the same"}; }

}  // namespace apam
