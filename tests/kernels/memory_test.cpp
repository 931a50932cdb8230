// Memory, streams and events of every device of this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/ops/kernel.h"
#include "kernels/runtime/stream.h"

namespace apam {
namespace {

std::vector<std::string> present_devices() {
  std::vector<std::string> devices{"cpu"};
  try {
    cuda_runtime();
    devices.emplace_back("cuda");
  } catch (const DeviceError&) {  // not in this build, or no GPU here
  }
  return devices;
}

std::vector<float> counted(std::size_t size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

class MemoryTest : public testing::TestWithParam<std::string> {
 protected:
  const Device device_ = parse_device(GetParam());
};

TEST_P(MemoryTest, CopiesGoThereAndBack) {
  constexpr std::size_t kSize = 3'000'001;  // above the size from which blocks are aligned to huge pages
  const Buffer there(device_, kSize * sizeof(float));
  const Buffer elsewhere(device_, kSize * sizeof(float));
  const std::vector<float> sent = counted(kSize);
  std::vector<float> received(kSize);
  copy(ConstSpan<float>(std::span(sent)), there.as<float>());
  copy(there.as<float>(), elsewhere.as<float>());
  copy(elsewhere.as<float>(), Span<float>(std::span(received)));
  EXPECT_EQ(received, sent);
}

TEST_P(MemoryTest, ZeroClearsExactlyItsSpan) {
  constexpr std::size_t kSize = 1000;
  const Buffer there(device_, kSize * sizeof(float));
  std::vector<float> values = counted(kSize);
  copy(ConstSpan<float>(std::span(values)), there.as<float>());
  zero(there.as<float>().subspan(10, 500));
  zero(there.as<float>().subspan(700, 0));
  std::vector<float> expected = values;
  std::fill_n(expected.begin() + 10, 500, 0.0F);
  copy(ConstSpan<float>(there.as<float>()), Span<float>(std::span(values)));
  EXPECT_EQ(values, expected);
}

TEST_P(MemoryTest, BlocksAreAlignedAndCounted) {
  const std::uint64_t before = Buffer::allocations();
  const Buffer small(device_, 100);
  const Buffer large(device_, 5U << 20U);
  EXPECT_EQ(Buffer::allocations(), before + 2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(small.data()) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(large.data()) % 64, 0U);
}

TEST_P(MemoryTest, PinnedAndHostMemoryIsForTheHost) {
  for (const MemoryKind kind : {MemoryKind::pinned, MemoryKind::host}) {
    const Buffer buffer(device_, 4 * sizeof(float), kind);
    EXPECT_EQ(buffer.device(), Device{});
    const auto values = buffer.as<float>().host();
    std::iota(values.begin(), values.end(), 1.0F);
    EXPECT_EQ(values[3], 4.0F);
  }
}

TEST_P(MemoryTest, WorkOfAStreamRunsInOrder) {
  constexpr std::size_t kSize = 1U << 20U;
  const Stream stream(device_);
  const Buffer sent(device_, kSize * sizeof(float), MemoryKind::pinned),
      received(device_, kSize * sizeof(float), MemoryKind::pinned);
  const Buffer there(device_, kSize * sizeof(float)), elsewhere(device_, kSize * sizeof(float));
  const auto values = sent.as<float>().host();
  std::iota(values.begin(), values.end(), 1.0F);
  copy(stream, sent.as<float>(), there.as<float>());
  copy(stream, there.as<float>(), elsewhere.as<float>());
  zero(stream, there.as<float>());
  zero(stream, elsewhere.as<float>().subspan(0, 2));
  copy(stream, elsewhere.as<float>(), received.as<float>());
  stream.synchronize();
  const auto arrived = received.as<float>().host();
  EXPECT_EQ(arrived[0], 0.0F);
  EXPECT_EQ(arrived[1], 0.0F);
  EXPECT_TRUE(std::equal(arrived.begin() + 2, arrived.end(), values.begin() + 2));
  EXPECT_THROW(copy(stream, sent.as<float>().subspan(0, 2), there.as<float>()), ShapeError);
}

TEST_P(MemoryTest, EventsOrderStreams) {
  constexpr std::size_t kSize = 1U << 20U;
  const Stream first(device_), second(device_);
  Event event(device_);
  EXPECT_TRUE(event.done()) << "never recorded";
  const Buffer source(device_, kSize * sizeof(float)), there(device_, kSize * sizeof(float));
  const Buffer received(device_, kSize * sizeof(float), MemoryKind::pinned);
  const std::vector<float> sent = counted(kSize);
  copy(ConstSpan<float>(std::span(sent)), source.as<float>());
  copy(first, source.as<float>(), there.as<float>());
  event.record(first);
  event.wait(second);
  copy(second, there.as<float>(), received.as<float>());
  event.record(second);
  event.synchronize();
  EXPECT_TRUE(event.done());
  const auto arrived = received.as<float>().host();
  EXPECT_TRUE(std::equal(arrived.begin(), arrived.end(), sent.begin()));
}

TEST_P(MemoryTest, StreamsAndEventsMove) {
  Stream stream(device_);
  const NativeHandle handle = stream.native();
  EXPECT_EQ(handle == nullptr, device_.kind == DeviceKind::cpu);
  Stream moved(std::move(stream));
  EXPECT_EQ(moved.native(), handle);
  EXPECT_EQ(moved.device(), device_);
  Event event(device_);
  event = Event(device_);
  event.record(moved);
  event.synchronize();
  EXPECT_TRUE(event.done());
}

TEST_P(MemoryTest, WorkIsTimed) {
  const Stream stream(device_);
  const Buffer there(device_, std::size_t{64} << 20U);
  EXPECT_GT(stream.time([&] { zero(stream, there.as<float>()); }), 0.0);
}

TEST_P(MemoryTest, GraphsReplayWhatWasRecorded) {
  const Stream stream(device_);
  const auto work = [] {};
  if (!Graph::supported(device_)) {
    EXPECT_THROW(Graph(stream, work), DeviceError);
    return;
  }
  const Buffer there(device_, 4 * sizeof(float)), elsewhere(device_, 4 * sizeof(float));
  const Buffer received(device_, 4 * sizeof(float), MemoryKind::pinned);
  std::vector<float> values = counted(4);
  copy(ConstSpan<float>(std::span(values)), there.as<float>());
  zero(received.as<float>());
  const Graph graph(stream, [&] {
    copy(stream, there.as<float>(), elsewhere.as<float>());
    zero(stream, there.as<float>().subspan(0, 1));
    copy(stream, elsewhere.as<float>(), received.as<float>());
  });
  EXPECT_EQ(graph.nodes(), 3U);
  stream.synchronize();
  const auto arrived = received.as<float>().host();
  EXPECT_EQ(arrived[0], 0.0F) << "recording must not run anything";
  graph.replay(stream);
  stream.synchronize();
  EXPECT_EQ(arrived[0], 1.0F);
  graph.replay(stream);
  stream.synchronize();
  EXPECT_EQ(arrived[0], 0.0F);
  EXPECT_EQ(arrived[3], 4.0F);
  EXPECT_THROW(Graph(stream, [] { fail<KernelError>("work: {}", "refused"); }), KernelError);
  EXPECT_EQ(Graph(stream, work).nodes(), 0U) << "a stream can record again";
}

TEST_P(MemoryTest, TooMuchIsADeviceError) { EXPECT_THROW(Buffer(device_, std::size_t{1} << 60U), DeviceError); }

INSTANTIATE_TEST_SUITE_P(Devices, MemoryTest, testing::ValuesIn(present_devices()),
                         [](const auto& device) { return device.param; });

TEST(KernelsForTest, EveryOperationRunsOnTheCpu) { EXPECT_NO_THROW(kernels::check_kernels_for(DeviceKind::cpu)); }

TEST(KernelsForTest, OperationsWithoutKernelsAreNamed) {
  std::vector<std::string_view> lacking;
  kernels::for_each_operation([&]<class Op>() {
    bool found = false;
    for (const auto& candidate : kernels::implementations<Op>()) found = found || candidate.device == DeviceKind::cuda;
    if (!found) lacking.push_back(Op::name);
  });
  std::string message;
  try {
    kernels::check_kernels_for(DeviceKind::cuda);
  } catch (const DeviceError& error) {
    message = error.what();
  }
  EXPECT_EQ(message.empty(), lacking.empty());
  for (const auto name : lacking) EXPECT_NE(message.find(name), std::string::npos) << message;
}

}  // namespace
}  // namespace apam
