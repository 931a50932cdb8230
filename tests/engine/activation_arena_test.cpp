// ActivationArena against a list of the blocks in use, which must never overlap.
#include "engine/activation_arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "kernels/runtime/philox.h"

namespace apam::engine {
namespace {

using Block = ActivationArena::Block;

bool overlap(const Block& a, const Block& b) {
  return a.chunk == b.chunk && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

Span<float> floats(const ActivationArena& arena, const Block& block, std::size_t count) {
  return arena.memory(block, count, DType::float32).as<float>("block");
}

/// A random sequence of take() and give_back(), repeatable by stream. Checks each new block against all blocks in use.
class RandomSequence {
 public:
  RandomSequence(ActivationArena& arena, std::uint64_t stream, std::uint32_t max_count)
      : arena_(arena), random_(5, Purpose::sample, stream), max_count_(max_count) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (blocks_.empty() || draw(5) < 3) {
        take(1 + draw(max_count_));
      } else {
        give_back(draw(static_cast<std::uint32_t>(blocks_.size())));
      }
    }
    while (!blocks_.empty()) give_back(draw(static_cast<std::uint32_t>(blocks_.size())));
  }

 private:
  std::uint32_t draw(std::uint32_t bound) { return random_.below(bound, index_++); }

  void take(std::size_t count) {
    const Block block = arena_.take(count * sizeof(float));
    ASSERT_TRUE(block.valid());
    ASSERT_GE(block.bytes, count * sizeof(float));
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(floats(arena_, block, count).data()) % 64, 0U);
    for (const Block& other : blocks_) ASSERT_FALSE(overlap(block, other));
    blocks_.push_back(block);
    in_use_ += block.bytes;
    ASSERT_EQ(arena_.bytes_in_use(), in_use_);
  }

  void give_back(std::size_t which) {
    arena_.give_back(blocks_[which]);
    in_use_ -= blocks_[which].bytes;
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(which));
    ASSERT_EQ(arena_.bytes_in_use(), in_use_);
  }

  ActivationArena& arena_;
  Random random_;
  std::uint32_t max_count_;
  std::uint64_t index_ = 0;
  std::vector<Block> blocks_;
  std::size_t in_use_ = 0;
};

TEST(ActivationArena, blocks_do_not_overlap_and_all_are_returned) {
  for (std::uint64_t stream = 0; stream < 20; ++stream) {
    ActivationArena arena(Device{});
    RandomSequence(arena, stream, 4000).run(500);
    EXPECT_EQ(arena.bytes_in_use(), 0U);
  }
}

TEST(ActivationArena, repeated_sequence_allocates_nothing) {
  ActivationArena arena(Device{});
  constexpr std::uint32_t kLarge = 20'000'000;  // 80 MB: several chunks
  RandomSequence(arena, 0, kLarge).run(200);
  const auto reserved = arena.reserved_bytes();
  const auto peak = arena.peak_bytes();
  EXPECT_GE(reserved, peak);
  EXPECT_GE(reserved, 2 * (std::size_t{256} << 20U)) << "must use several chunks";
  const auto before = Buffer::allocations();
  for (int repetition = 0; repetition < 3; ++repetition) RandomSequence(arena, 0, kLarge).run(200);
  EXPECT_EQ(Buffer::allocations(), before);
  EXPECT_EQ(arena.reserved_bytes(), reserved);
  EXPECT_EQ(arena.peak_bytes(), peak);
}

TEST(ActivationArena, coalesces_free_blocks_in_any_order) {
  for (std::uint64_t stream = 0; stream < 20; ++stream) {
    ActivationArena arena(Device{});
    RandomSequence(arena, stream, 4000).run(300);
    const auto reserved = arena.reserved_bytes();
    const Block whole = arena.take(reserved);  // fits only if all free blocks were coalesced
    EXPECT_EQ(arena.reserved_bytes(), reserved);
    EXPECT_EQ(whole.bytes, reserved);
  }
}

TEST(ActivationArena, blocks_have_separate_memory) {
  ActivationArena arena(Device{});
  const Block first = arena.take(100 * sizeof(float));
  const Block second = arena.take(100 * sizeof(float));
  for (float& value : floats(arena, first, 100).host()) value = 1.0F;
  for (float& value : floats(arena, second, 100).host()) value = 2.0F;
  for (const float value : floats(arena, first, 100).host()) EXPECT_EQ(value, 1.0F);
}

TEST(ActivationArena, rejects_more_elements_than_a_block_holds) {
  ActivationArena arena(Device{});
  const Block block = arena.take(128);
  EXPECT_EQ(arena.memory(block, 64, DType::bfloat16).size_bytes(), 128U);
  EXPECT_THROW((void)arena.memory(block, 33, DType::float32), ShapeError);
}

TEST(ActivationArena, grows_only_if_it_may) {
  ActivationArena arena(Device{});
  arena.take(100);
  const std::size_t in_use = arena.bytes_in_use(), reserved = arena.reserved_bytes();
  EXPECT_NO_THROW(arena.give_back(arena.take(reserved - in_use, ActivationArena::Growth::refused)));
  const std::size_t peak = arena.peak_bytes();
  EXPECT_THROW(arena.take(reserved, ActivationArena::Growth::refused), KernelError);
  EXPECT_EQ(arena.peak_bytes(), peak);
  EXPECT_EQ(arena.bytes_in_use(), in_use);
  EXPECT_EQ(arena.reserved_bytes(), reserved);
}

TEST(ActivationArena, reserves_little_for_a_small_net) {
  constexpr std::size_t kFirst = std::size_t{16} << 20U, kMore = std::size_t{256} << 20U;
  ActivationArena arena(Device{});
  arena.take(100);
  EXPECT_EQ(arena.reserved_bytes(), kFirst);
  arena.take(kFirst);
  EXPECT_EQ(arena.reserved_bytes(), kFirst + kMore);
}

TEST(ActivationArena, supports_empty_blocks_and_blocks_larger_than_a_chunk) {
  ActivationArena arena(Device{});
  const std::size_t count = std::size_t{80} << 20U;  // 320 MB
  EXPECT_EQ(arena.take(count * sizeof(float)).bytes, count * sizeof(float));
  const Block empty = arena.take(0);
  EXPECT_TRUE(empty.valid());
  EXPECT_TRUE(floats(arena, empty, 0).empty());
}

}  // namespace
}  // namespace apam::engine
