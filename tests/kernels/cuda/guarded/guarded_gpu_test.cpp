// The guarded GPU itself: what it must refuse, and that work is late.
#include "tests/kernels/cuda/guarded/guarded_gpu.h"

#include <gtest/gtest.h>

#include "kernels/runtime/exec.h"

namespace apam {
namespace {

constexpr Device kGpu{DeviceKind::cuda, 0};

TEST(GuardedGpu, HostAccessCrashes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Buffer there(kGpu, sizeof(float));
  EXPECT_DEATH(*there.as<float>().data() = 1.0F, "");
  EXPECT_DEATH(EXPECT_EQ(*there.as<float>().data(), 0.0F), "");
}

TEST(GuardedGpu, WorkIsLateUntilTheHostWaits) {
  const Stream stream(kGpu);
  const Buffer there(kGpu, sizeof(float)), received(kGpu, sizeof(float), MemoryKind::pinned);
  const std::vector<float> one{1.0F};
  received.as<float>().host()[0] = 5.0F;
  copy(stream, ConstSpan<float>(std::span(one)), there.as<float>());
  copy(stream, there.as<float>(), received.as<float>());
  Event event(kGpu);
  event.record(stream);
  EXPECT_EQ(received.as<float>().host()[0], 5.0F);
  event.synchronize();
  EXPECT_EQ(received.as<float>().host()[0], 1.0F);
}

TEST(GuardedGpu, RefusesWhatAGraphCannotRecord) {
  const Stream stream(kGpu);
  const Buffer there(kGpu, sizeof(float));
  std::vector<float> pageable(1);
  EXPECT_THROW(Graph(stream, [&] { stream.synchronize(); }), DeviceError);
  EXPECT_THROW(Graph(stream, [&] { const Buffer more(kGpu, 4); }), DeviceError);
  EXPECT_THROW(Graph(stream, [&] { copy(stream, ConstSpan<float>(std::span(pageable)), there.as<float>()); }), DeviceError);
}

}  // namespace
}  // namespace apam
