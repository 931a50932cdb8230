// Devices, spans, buffers, and the resources of an Exec.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/runtime/exec.h"
#include "tests/support/throws.h"

namespace apam {
namespace {

TEST(Device, is_read_as_it_is_written) {
  for (const char* text : {"cpu", "cuda:0", "cuda:3"}) EXPECT_EQ(to_string(parse_device(text)), text);
  EXPECT_EQ(parse_device("cuda"), (Device{DeviceKind::cuda, 0}));
}

TEST(Device, rejects_other_text) {
  for (const char* text : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999", "cpu:0"}) {
    EXPECT_THROW(parse_device(text), InputError) << text;
  }
}

TEST(Span, subspans_stay_inside) {
  std::vector<float> values(10);
  std::iota(values.begin(), values.end(), 0.0F);
  const Span<float> span(values.data(), values.size());
  const Span<float> middle = span.subspan(3, 4);
  EXPECT_EQ(middle.size(), 4U);
  EXPECT_EQ(middle.size_bytes(), 16U);
  EXPECT_EQ(middle.host().front(), 3.0F);
  EXPECT_TRUE(span.subspan(10, 0).empty());
  EXPECT_THROW(span.subspan(10, 1), ShapeError);
  EXPECT_THROW(span.subspan(11, 0), ShapeError);
  EXPECT_THROW(span.subspan(0, 11), ShapeError);
  EXPECT_THROW(span.subspan(5, static_cast<std::size_t>(-1)), ShapeError);  // offset + count would wrap around
}

TEST(Span, is_not_accessible_to_host_code_on_a_gpu) {
  float value = 0;
  const Span<float> remote(&value, 1, {DeviceKind::cuda, 0});
  EXPECT_THROW(remote.host(), DeviceError);
  EXPECT_EQ(ConstSpan<float>(remote).device(), remote.device());
}

TEST(Buffer, is_aligned_to_cache_lines_or_huge_pages) {
  for (const std::size_t bytes : {1U, 63U, 64U, 1000U, 1U << 20U}) {
    const Buffer buffer(Device{}, bytes);
    EXPECT_EQ(buffer.size_bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U) << bytes;
  }
  const Buffer large(Device{}, std::size_t{5} << 20U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(large.data()) % (2U << 20U), 0U);
}

TEST(Buffer, moves_and_counts_allocations) {
  const auto before = Buffer::allocations();
  Buffer first(Device{}, 256);
  std::byte* data = first.data();
  const Buffer second = std::move(first);
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(Buffer::allocations(), before + 1);
  EXPECT_EQ(second.as<float>().size(), 64U);
}

TEST(Buffer, of_no_bytes_is_harmless) {
  const Buffer empty(Device{}, 0);
  EXPECT_EQ(empty.as<float>().size(), 0U);
  zero(empty.as<float>());
}

TEST(Copy, copies_all_elements_or_none) {
  const std::vector<float> from{1, 2, 3};
  std::vector<float> to(3), small(2);
  copy(ConstSpan<float>(from.data(), 3), Span<float>(to.data(), 3));
  EXPECT_EQ(to, from);
  EXPECT_THROW(copy(ConstSpan<float>(from.data(), 3), Span<float>(small.data(), 2)), ShapeError);
  EXPECT_EQ(small, std::vector<float>(2));
  zero(Span<float>(to.data(), 3));
  EXPECT_EQ(to, std::vector<float>(3));
}

TEST(Copy, by_an_exec_is_ordered_with_its_work) {
  Exec exec;
  const std::vector<float> from{1, 2, 3};
  std::vector<float> to(3), small(2);
  copy(exec, ConstSpan<float>(from.data(), 3), Span<float>(to.data(), 3));
  exec.synchronize();
  EXPECT_EQ(to, from);
  EXPECT_THROW(copy(exec, ConstSpan<float>(from.data(), 3), Span<float>(small.data(), 2)), ShapeError);
  EXPECT_EQ(small, std::vector<float>(2));
  const std::vector<std::int32_t> labels{4, 5};
  std::vector<std::int32_t> arrived(2);
  copy(exec, Labels(std::span(labels)), Span<std::int32_t>(std::span(arrived)));
  exec.synchronize();
  EXPECT_EQ(arrived, labels);
  zero(exec, Span<float>(to.data(), 2));
  exec.synchronize();
  EXPECT_EQ(to, (std::vector<float>{0, 0, 3}));
}

TEST(Exec, needs_a_thread) { EXPECT_THROW(Exec({.threads = 0}), InputError); }

TEST(Exec, workspace_grows_and_then_stays) {
  Exec exec;
  exec.reserve_workspace(1000);
  std::byte* data = exec.workspace(10);
  EXPECT_EQ(exec.workspace(1000), data);
  EXPECT_EQ(exec.workspace_bytes(), 1000U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 64, 0U);
  exec.workspace(2000);
  EXPECT_EQ(exec.workspace_bytes(), 2000U);
}

TEST(Exec, grows_no_more_once_it_is_frozen) {
  Exec exec;
  exec.reserve_workspace(1000);
  exec.freeze();
  EXPECT_NO_THROW(exec.workspace(1000));
  EXPECT_TRUE(support::throws<KernelError>({"exec is frozen", "workspace", "1000", "1001"}, [&] { exec.workspace(1001); }));
  EXPECT_TRUE(support::throws<KernelError>({"exec is frozen", "operands", "0", "1"}, [&] { exec.operand_copies(1); }));
}

TEST(Exec, keeps_one_cache_of_each_type) {
  struct First {
    int value = 1;
  };
  struct Second {
    int value = 2;
  };
  Exec exec, other;
  exec.cache<First>().value = 10;
  EXPECT_EQ(exec.cache<First>().value, 10);
  EXPECT_EQ(exec.cache<Second>().value, 2);
  EXPECT_EQ(other.cache<First>().value, 1);
}

TEST(Error, is_one_line_of_the_given_type) {
  try {
    fail<ShapeError>("conv2d: x has {} channels, w expects {}", 64, 128);
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "conv2d: x has 64 channels, w expects 128");
    EXPECT_NE(dynamic_cast<const ShapeError*>(&error), nullptr);
  }
  EXPECT_NO_THROW(require<ShapeError>(true, "never seen"));
  EXPECT_THROW(require<KernelError>(false, "seen"), KernelError);
}

}  // namespace
}  // namespace apam
