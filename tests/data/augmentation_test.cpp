// Crop, flip and normalisation against tables and against the formula.
#include "data/augmentation.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "tests/data/support.h"

namespace apam::data {
namespace {

constexpr float kSubtract[] = {0.4914F, 0.4822F, 0.4465F};
constexpr float kDivide[] = {0.2023F, 0.1994F, 0.2010F};

Normalisation cifar10() { return {{std::begin(kSubtract), std::end(kSubtract)}, {std::begin(kDivide), std::end(kDivide)}}; }

std::vector<float> written(const ImageWriter& writer, ImageShape shape, const std::vector<std::uint8_t>& pixels,
                           Placement placement) {
  std::vector<float> row(shape.row(), -77.0F), out(shape.count(), -77.0F);
  writer.write(pixels, placement, row, out);
  return out;
}

// The 4 x 4 image used below, one channel.
const std::vector<std::uint8_t> kImage = {
    11, 12, 13, 14,  //
    21, 22, 23, 24,  //
    31, 32, 33, 34,  //
    41, 42, 43, 44,  //
};

struct Crop {
  Placement placement;
  std::array<int, 16> expected;  // bytes; 0 is padding
};

TEST(ImageWriter, CropsAndMirrors) {
  const std::vector<Crop> crops = {
      {{1, 1, false}, {11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 34, 41, 42, 43, 44}},  // padding 1: the image itself
      {{1, 1, true}, {14, 13, 12, 11, 24, 23, 22, 21, 34, 33, 32, 31, 44, 43, 42, 41}},
      {{0, 0, false}, {0, 0, 0, 0, 0, 11, 12, 13, 0, 21, 22, 23, 0, 31, 32, 33}},
      {{0, 0, true}, {0, 0, 0, 0, 13, 12, 11, 0, 23, 22, 21, 0, 33, 32, 31, 0}},
      {{2, 2, false}, {22, 23, 24, 0, 32, 33, 34, 0, 42, 43, 44, 0, 0, 0, 0, 0}},
      {{2, 0, false}, {0, 21, 22, 23, 0, 31, 32, 33, 0, 41, 42, 43, 0, 0, 0, 0}},
      {{0, 2, true}, {0, 0, 0, 0, 0, 14, 13, 12, 0, 24, 23, 22, 0, 34, 33, 32}},
  };
  const ImageShape shape{4, 4, 1};
  const float subtract = 0.5F, divide = 0.25F;
  const ImageWriter writer(shape, {{subtract}, {divide}}, 1);
  for (const Crop& crop : crops) {
    const auto out = written(writer, shape, kImage, crop.placement);
    for (std::size_t i = 0; i < 16; ++i) {
      EXPECT_EQ(out[i], (static_cast<float>(crop.expected[i]) / 255.0F - subtract) / divide)
          << "dy " << crop.placement.dy << " dx " << crop.placement.dx << " flip " << crop.placement.flip << " value " << i;
    }
  }
}

TEST(ImageWriter, MatchesTheFormulaForEveryPlacement) {
  for (const ImageShape shape : {ImageShape{32, 32, 3}, ImageShape{5, 3, 3}}) {  // the second is smaller than the padding
    std::vector<std::uint8_t> pixels(shape.count());
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 89 + 17);
    const int padding = 4;
    const ImageWriter writer(shape, cifar10(), padding);
    for (int code = 0; code < 9 * 9 * 2; ++code) {
      const Placement placement{code / 18, code / 2 % 9, code % 2 != 0};
      const auto out = written(writer, shape, pixels, placement);
      std::size_t wrong = 0;
      for (int y = 0; y < shape.height; ++y) {
        for (int x = 0; x < shape.width; ++x) {
          const int from_y = y + placement.dy - padding;
          const int from_x = (placement.flip ? shape.width - 1 - x : x) + placement.dx - padding;
          const bool inside = from_y >= 0 && from_y < shape.height && from_x >= 0 && from_x < shape.width;
          for (int c = 0; c < 3; ++c) {
            const int byte = inside ? pixels[static_cast<std::size_t>((from_y * shape.width + from_x) * 3 + c)] : 0;
            const float expected = (static_cast<float>(byte) / 255.0F - kSubtract[c]) / kDivide[c];
            wrong += out[static_cast<std::size_t>((y * shape.width + x) * 3 + c)] != expected ? 1U : 0U;
          }
        }
      }
      ASSERT_EQ(wrong, 0U) << to_string(shape) << " dy " << placement.dy << " dx " << placement.dx << " flip "
                           << placement.flip;
    }
  }
}

TEST(ImageWriter, NormalisesBytes) {
  const ImageShape shape{1, 3, 3};
  const ImageWriter writer(shape, cifar10(), 0);
  const auto out = written(writer, shape, {0, 0, 0, 255, 255, 255, 51, 102, 204}, {});
  // Three float32 roundings of values below 3: error < 3 * 3 * 2^-24 / 0.1994 * 2 < 2e-6.
  const double exact[] = {-0.4914 / 0.2023,        -0.4822 / 0.1994,        -0.4465 / 0.2010,
                          0.5086 / 0.2023,         0.5178 / 0.1994,         0.5535 / 0.2010,
                          (0.2 - 0.4914) / 0.2023, (0.4 - 0.4822) / 0.1994, (0.8 - 0.4465) / 0.2010};
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(out[i], exact[i], 2e-6) << i;
}

TEST(ImageWriter, PadsBeforeNormalising) {
  const ImageShape shape{2, 2, 3};
  const ImageWriter writer(shape, cifar10(), 4);
  const auto out = written(writer, shape, std::vector<std::uint8_t>(12, 200), {0, 0, false});  // only padding
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(out[i], (0.0F - kSubtract[i % 3]) / kDivide[i % 3]) << i;
}

TEST(ImageWriter, SubtractsAMeanImageBeforeCroppingAndPadsWithZero) {
  const ImageShape shape{2, 3, 2};
  std::vector<float> mean(12);
  std::vector<std::uint8_t> pixels(12);
  for (std::size_t i = 0; i < 12; ++i) {
    mean[i] = static_cast<float>(i) / 64.0F;
    pixels[i] = static_cast<std::uint8_t>(20 * i);
  }
  const auto value = [&](std::size_t i) { return (static_cast<float>(pixels[i]) / 255.0F - mean[i]) / 1.0F; };
  const ImageWriter writer(shape, {mean, {1.0F, 1.0F}}, 1);
  const float kPad = 0.0F;
  EXPECT_EQ(written(writer, shape, pixels, {0, 2, false}),
            (std::vector<float>{kPad, kPad, kPad, kPad, kPad, kPad, value(2), value(3), value(4), value(5), kPad, kPad}));
  EXPECT_EQ(written(writer, shape, pixels, {1, 1, true}),
            (std::vector<float>{value(4), value(5), value(2), value(3), value(0), value(1), value(10), value(11), value(8),
                                value(9), value(6), value(7)}));
}

TEST(ImageWriter, RejectsNormalisationOfAnotherShape) {
  const ImageShape shape{4, 4, 3};
  const auto make = [&](std::size_t subtract, const std::vector<float>& divide) {
    ImageWriter(shape, {std::vector<float>(subtract), divide}, 0);
  };
  EXPECT_TRUE(throws<ShapeError>({"normalise", "4", "subtract", "3", "48", "4x4x3"}, [&] { make(4, {1, 1, 1}); }));
  EXPECT_TRUE(throws<ShapeError>({"normalise", "2", "divide", "3", "4x4x3"}, [&] { make(3, {1, 1}); }));
  EXPECT_TRUE(throws<ShapeError>({"normalise", "divide", "0"}, [&] { make(3, {1, 0, 1}); }));
}

TEST(DrawPlacement, IsUniformOverOffsetsAndFlips) {
  constexpr int kDraws = 90000;
  std::map<int, int> rows, columns;
  int flips = 0;
  for (int image = 0; image < kDraws; ++image) {
    const Placement placement = draw_placement(kStandardAugmentation, 5, 2, image);
    ++rows[placement.dy];
    ++columns[placement.dx];
    flips += placement.flip ? 1 : 0;
  }
  ASSERT_EQ(rows.size(), 9U);
  ASSERT_EQ(columns.size(), 9U);
  EXPECT_EQ(rows.begin()->first, 0);
  EXPECT_EQ(rows.rbegin()->first, 8);
  // Five standard deviations of a count: 5 sqrt(N p (1-p)).
  for (const auto& counts : {rows, columns}) {
    for (const auto& [offset, count] : counts) EXPECT_NEAR(count, 10000, 472) << offset;
  }
  EXPECT_NEAR(flips, 45000, 750);
}

TEST(DrawPlacement, DependsOnlyOnSeedEpochAndImage) {
  const auto fingerprint = [](std::uint64_t seed, std::int64_t epoch, std::int64_t first) {
    std::vector<int> codes;
    for (std::int64_t image = first; image < first + 20; ++image) {
      const Placement p = draw_placement(kStandardAugmentation, seed, epoch, image);
      codes.push_back(p.dy * 18 + p.dx * 2 + (p.flip ? 1 : 0));
    }
    return codes;
  };
  EXPECT_EQ(fingerprint(1, 2, 3), fingerprint(1, 2, 3));
  EXPECT_NE(fingerprint(1, 2, 3), fingerprint(2, 2, 3));
  EXPECT_NE(fingerprint(1, 2, 3), fingerprint(1, 3, 3));
  EXPECT_NE(fingerprint(1, 2, 3), fingerprint(1, 2, 23));
  EXPECT_EQ(draw_placement(kNoAugmentation, 1, 2, 3), Placement{});
  EXPECT_FALSE(draw_placement({.padding = 2, .flip = false}, 1, 2, 3).flip);
}

TEST(ParseAugmentation, AcceptsTwoNames) {
  EXPECT_EQ(parse_augmentation("standard"), (Augmentation{4, true}));
  EXPECT_EQ(parse_augmentation("none"), (Augmentation{0, false}));
  EXPECT_TRUE(throws<InputError>({"augment", "full", "standard", "none"}, [] { parse_augmentation("full"); }));
}

}  // namespace
}  // namespace apam::data
