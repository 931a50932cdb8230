// Philox4x32-10 against the known answers of Random123 (kat_vectors), and the contract of Random.
#include "kernels/runtime/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace apam {
namespace {

using Words = std::array<std::uint32_t, 4>;

TEST(Philox, known_answer_for_zeros) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
}

TEST(Philox, known_answer_for_ones) {
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Philox, known_answer_for_digits_of_pi) {
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, seed_purpose_and_stream_each_change_the_numbers) {
  const std::set<Words> blocks{Random(1, Purpose::shuffle, 0).words(0),
                               Random(2, Purpose::shuffle, 0).words(0),
                               Random(std::uint64_t{1} << 32U, Purpose::shuffle, 0).words(0),
                               Random(1, Purpose::augmentation, 0).words(0),
                               Random(1, Purpose::shuffle, 1).words(0),
                               Random(1, Purpose::shuffle, std::uint64_t{1} << 32U).words(0),
                               Random(1, Purpose::shuffle, 0).words(1)};
  EXPECT_EQ(blocks.size(), 7U);
}

TEST(Random, word_walks_through_the_blocks) {
  const Random random(7, Purpose::sample, 3);
  for (std::uint32_t index = 0; index < 16; ++index) EXPECT_EQ(random.word(index), random.words(index / 4)[index % 4]);
}

TEST(Random, uniform_covers_its_interval) {
  const Random random(7, Purpose::sample);
  constexpr int kCount = 10000;
  double sum = 0;
  for (std::uint64_t index = 0; index < kCount; ++index) {
    const float value = random.uniform(index);
    ASSERT_GE(value, 0.0F);
    ASSERT_LT(value, 1.0F);
    sum += value;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 5 / std::sqrt(12.0 * kCount));  // five standard errors of the mean
}

TEST(Random, below_reaches_every_value_and_no_other) {
  const Random random(7, Purpose::shuffle);
  std::set<std::uint32_t> seen;
  for (std::uint64_t index = 0; index < 1000; ++index) seen.insert(random.below(10, index));
  EXPECT_EQ(seen.size(), 10U);
  EXPECT_EQ(*seen.rbegin(), 9U);
}

TEST(Random, normal_has_mean_zero_and_variance_one) {
  const Random random(7, Purpose::initial_weights);
  constexpr int kCount = 100000;
  double sum = 0, squares = 0;
  for (std::uint64_t index = 0; index < kCount; ++index) {
    const double value = random.normal(index);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 5 / std::sqrt(double(kCount)));            // five standard errors of each
  EXPECT_NEAR(squares / kCount, 1.0, 5 * std::sqrt(2.0 / double(kCount)));  // variance of a squared normal is 2
}

}  // namespace
}  // namespace apam
