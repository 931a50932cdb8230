// What kernels/nccl calls, on a library that does nothing (fake_nccl.cpp) and on the guarded GPU.
#include "kernels/nccl/gpu_group.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <tuple>

#include "kernels/runtime/buffer.h"
#include "tests/kernels/nccl/fake_nccl.h"
#include "tests/support/throws.h"

namespace apam::kernels::nccl {
namespace {

constexpr Device kGpu{DeviceKind::cuda};

template <class Function>
Function function_of_library(const char* name) {
  void* const library = ::dlopen(std::getenv("APAM_NCCL"), RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function>(::dlsym(library, name));
}
std::string calls() { return function_of_library<fake_nccl::Calls>(fake_nccl::kCalls)(); }
void fail_in(const char* name) { function_of_library<fake_nccl::Fail>(fake_nccl::kFail)(name); }

class NcclGroup : public testing::Test {
 protected:
  NcclGroup() {
    fail_in("");
    calls();
  }
  static std::unique_ptr<GpuGroup> join() {
    auto group = join_group(new_group(), 1, 3, kGpu);
    calls();
    return group;
  }

  const Stream stream{kGpu};
  const Buffer buffer{kGpu, 100 * sizeof(float)};
  const Span<float> values = buffer.as<float>();
  const std::string place = fmt::format("{0} {0}", static_cast<void*>(values.data()));
};

TEST_F(NcclGroup, IsNamedByOneRankAndJoinedByAll) {
  const std::string name = new_group();
  const auto group = join_group(name, 1, 3, kGpu);
  EXPECT_EQ(calls(), "ncclGetUniqueId \nncclCommInitRank 1 of 3, 0..127\n");
}

TEST_F(NcclGroup, SumsInPlaceOnTheStream) {
  const auto group = join();
  group->sum(stream, values, 1);
  group->sum(stream, values.subspan(0, 7), 1);
  EXPECT_EQ(calls(),
            fmt::format("ncclAllReduce {0} x 100 float operation 0 on {1}\nncclAllReduce {0} x 7 float operation 0 on {1}\n",
                        place, stream.native()));
}

TEST_F(NcclGroup, MakesAnOperationPerFactor) {
  const auto group = join();
  std::string expected;
  for (const auto& [factor, operation, made] : {std::tuple{0.5F, 100, true}, {0.25F, 101, true}, {0.5F, 100, false}}) {
    group->sum(stream, values, factor);
    if (made) expected += fmt::format("ncclRedOpCreatePreMulSum {} float host\n", factor);
    expected += fmt::format("ncclAllReduce {} x 100 float operation {} on {}\n", place, operation, stream.native());
  }
  EXPECT_EQ(calls(), expected);
}

TEST_F(NcclGroup, BroadcastsTheValuesOfRank0) {
  join()->broadcast(stream, values);
  EXPECT_EQ(calls(), fmt::format("ncclBroadcast {} x 100 float of 0 on {}\nncclCommDestroy \n", place, stream.native()));
}

TEST_F(NcclGroup, SaysWhatFailsAndGivesItsWorkUp) {
  const auto expect_failure = [&](const char* name, std::initializer_list<std::string_view> words, const auto& work) {
    auto group = join();
    fail_in(name);
    EXPECT_TRUE(support::throws<DeviceError>(words, [&] { work(*group); })) << name;
    group.reset();
    EXPECT_TRUE(calls().ends_with("ncclCommAbort \n")) << name;
    fail_in("");
  };
  expect_failure("ncclAllReduce", {"nccl: summing 100 floats on cuda:0: a failure: the reason"},
                 [&](GpuGroup& group) { group.sum(stream, values, 1); });
  expect_failure("ncclRedOpCreatePreMulSum", {"nccl: making a scaled sum", "a failure"},
                 [&](GpuGroup& group) { group.sum(stream, values, 0.5F); });
  expect_failure("ncclBroadcast", {"nccl: broadcasting 100 floats on cuda:0: a failure"},
                 [&](GpuGroup& group) { group.broadcast(stream, values); });
  expect_failure("ncclCommGetAsyncError", {"nccl: earlier work on cuda:0: a failure: the reason"},
                 [&](GpuGroup& group) { group.check(); });
  join()->check();
  EXPECT_EQ(calls(), "ncclCommGetAsyncError \nncclCommDestroy \n");

  const auto group = join();
  fail_in("ncclRedOpCreatePreMulSum");
  for (int i = 0; i < 2; ++i) EXPECT_THROW(group->sum(stream, values, 0.5F), DeviceError);  // never an unscaled sum
}

TEST_F(NcclGroup, IsNotJoinedAfterAFailure) {
  const std::string name = new_group();
  fail_in("ncclCommInitRank");
  EXPECT_TRUE(support::throws<DeviceError>({"nccl: rank 2 of 3 on cuda:0 joins the others: a failure: the reason"},
                                           [&] { join_group(name, 2, 3, kGpu); }));
  EXPECT_TRUE(
      support::throws<DeviceError>({"a group's name of 5 bytes, expected 128"}, [&] { join_group("wrong", 0, 1, kGpu); }));
  fail_in("ncclGetUniqueId");
  EXPECT_TRUE(support::throws<DeviceError>({"nccl: naming a group: a failure"}, [] { new_group(); }));
}

TEST_F(NcclGroup, NamesTheLibrary) {
  EXPECT_EQ(absence(), "");
  EXPECT_TRUE(status().starts_with("2.")) << status();
  EXPECT_TRUE(status().ends_with(std::getenv("APAM_NCCL"))) << status();
}

/// Run with FAKE_NCCL_VERSION.
TEST(NcclTooOld, IsAbsent) {
  EXPECT_NE(absence().find("is NCCL 2.13.4, 2.14 or newer is required"), std::string::npos) << absence();
}

/// Run with APAM_NCCL naming a file that is not there.
TEST(NcclAbsent, SaysWhereItWasLookedFor) {
  EXPECT_TRUE(absence().starts_with("not found: ")) << absence();
  EXPECT_NE(absence().find(std::getenv("APAM_NCCL")), std::string::npos) << absence();
  EXPECT_EQ(status(), absence());
  EXPECT_TRUE(support::throws<DeviceError>({"nccl: not found"}, [] { new_group(); }));
}

}  // namespace
}  // namespace apam::kernels::nccl
