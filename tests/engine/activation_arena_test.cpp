// The arena of activations against a naive model: a list of what is out, in which nothing may overlap.
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

/// A sequence of takes and returns, the same for the same stream; checks every block against all that are out.
class Walk {
 public:
  Walk(ActivationArena& arena, std::uint64_t stream, std::uint32_t most)
      : arena_(arena), random_(5, Purpose::sample, stream), most_(most) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (out_.empty() || draw(5) < 3) {
        take(1 + draw(most_));
      } else {
        give_back(draw(static_cast<std::uint32_t>(out_.size())));
      }
    }
    while (!out_.empty()) give_back(draw(static_cast<std::uint32_t>(out_.size())));
  }

 private:
  std::uint32_t draw(std::uint32_t bound) { return random_.below(bound, index_++); }

  void take(std::size_t count) {
    const Block block = arena_.take(count);
    ASSERT_TRUE(block.valid());
    ASSERT_GE(block.bytes, count * sizeof(float));
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(arena_.memory(block, count).data()) % 64, 0U);
    for (const Block& other : out_) ASSERT_FALSE(overlap(block, other));
    out_.push_back(block);
    in_use_ += block.bytes;
    ASSERT_EQ(arena_.bytes_in_use(), in_use_);
  }

  void give_back(std::size_t which) {
    arena_.give_back(out_[which]);
    in_use_ -= out_[which].bytes;
    out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(which));
    ASSERT_EQ(arena_.bytes_in_use(), in_use_);
  }

  ActivationArena& arena_;
  Random random_;
  std::uint32_t most_;
  std::uint64_t index_ = 0;
  std::vector<Block> out_;
  std::size_t in_use_ = 0;
};

TEST(ActivationArena, never_hands_out_memory_twice_and_gets_everything_back) {
  for (std::uint64_t stream = 0; stream < 20; ++stream) {
    ActivationArena arena(Device{});
    Walk(arena, stream, 4000).run(500);
    EXPECT_EQ(arena.bytes_in_use(), 0U);
  }
}

TEST(ActivationArena, allocates_nothing_when_a_sequence_repeats) {
  ActivationArena arena(Device{});
  constexpr std::uint32_t kLarge = 20'000'000;  // 80 MB: several chunks
  Walk(arena, 0, kLarge).run(200);
  const auto reserved = arena.reserved_bytes();
  const auto peak = arena.peak_bytes();
  EXPECT_GE(reserved, peak);
  EXPECT_GE(reserved, 2 * (std::size_t{256} << 20U)) << "one chunk alone would not test how chunks are chosen";
  const auto before = Buffer::allocations();
  for (int repetition = 0; repetition < 3; ++repetition) Walk(arena, 0, kLarge).run(200);
  EXPECT_EQ(Buffer::allocations(), before);
  EXPECT_EQ(arena.reserved_bytes(), reserved);
  EXPECT_EQ(arena.peak_bytes(), peak);
}

TEST(ActivationArena, merges_what_comes_back_in_any_order) {
  for (std::uint64_t stream = 0; stream < 20; ++stream) {
    ActivationArena arena(Device{});
    Walk(arena, stream, 4000).run(300);
    const auto reserved = arena.reserved_bytes();
    const Block whole = arena.take(reserved / sizeof(float));  // fits only into one hole of everything
    EXPECT_EQ(arena.reserved_bytes(), reserved);
    EXPECT_EQ(whole.bytes, reserved);
  }
}

TEST(ActivationArena, gives_each_block_memory_of_its_own) {
  ActivationArena arena(Device{});
  const Block first = arena.take(100);
  const Block second = arena.take(100);
  for (float& value : arena.memory(first, 100).host()) value = 1.0F;
  for (float& value : arena.memory(second, 100).host()) value = 2.0F;
  for (const float value : arena.memory(first, 100).host()) EXPECT_EQ(value, 1.0F);
}

TEST(ActivationArena, takes_blocks_larger_than_a_chunk_and_none_at_all) {
  ActivationArena arena(Device{});
  const std::size_t count = std::size_t{80} << 20U;  // 320 MB
  EXPECT_EQ(arena.take(count).bytes, count * sizeof(float));
  const Block nothing = arena.take(0);
  EXPECT_TRUE(nothing.valid());
  EXPECT_TRUE(arena.memory(nothing, 0).empty());
}

}  // namespace
}  // namespace apam::engine
