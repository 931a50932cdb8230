// Synthetic images: balanced, reproducible, and easy to learn.
#include "data/synthetic.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "kernels/runtime/fnv1a.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

std::vector<std::uint8_t> pixels(const Dataset& dataset, Split split, std::int64_t index) {
  std::vector<std::uint8_t> scratch(dataset.info().shape.count());
  const Sample sample = dataset.read(split, index, scratch);
  return {sample.pixels.begin(), sample.pixels.end()};
}

TEST(Synthetic, DependsOnlyOnSeedSplitAndIndex) {
  const SyntheticOptions options{.shape = {5, 7, 3}, .classes = 4, .train_images = 40, .test_images = 8, .seed = 9};
  const auto one = make_synthetic(options);
  const auto other = make_synthetic(options);
  EXPECT_EQ(pixels(*one, Split::train, 33), pixels(*other, Split::train, 33));
  EXPECT_NE(pixels(*one, Split::train, 1), pixels(*one, Split::train, 5));  // same class, other noise
  EXPECT_NE(pixels(*one, Split::train, 1), pixels(*one, Split::test, 1));
  auto reseeded = options;
  reseeded.seed = 10;
  EXPECT_NE(pixels(*one, Split::train, 1), pixels(*make_synthetic(reseeded), Split::train, 1));
}

TEST(Synthetic, HashesTellLabelsAndPixelsApart) {
  const SyntheticOptions options{.shape = {2, 3, 1}, .classes = 4, .train_images = 600, .test_images = 8, .seed = 9};
  const SplitHashes one = hashes_of(*make_synthetic(options), Split::train);
  SyntheticOptions reseeded = options, relabelled = options;
  reseeded.seed = 10;
  relabelled.classes = 3;
  EXPECT_EQ(hashes_of(*make_synthetic(options), Split::train).pixels, one.pixels);
  EXPECT_EQ(hashes_of(*make_synthetic(reseeded), Split::train).labels, one.labels);
  EXPECT_NE(hashes_of(*make_synthetic(reseeded), Split::train).pixels, one.pixels);
  EXPECT_NE(hashes_of(*make_synthetic(relabelled), Split::train).labels, one.labels);
  EXPECT_NE(hashes_of(*make_synthetic(options), Split::test).pixels, one.pixels);
  Fnv1a labels;  // of all images
  for (std::uint32_t i = 0; i < 600; ++i) labels.add_bytes(i % 4, 4);
  EXPECT_EQ(one.labels, fmt::format("{:016x}", labels.value()));
  const auto dataset = make_synthetic(options);
  Fnv1a values;  // of every third image, for 256 at most
  for (std::int64_t i = 0; i < 600; i += 3) {
    for (const std::uint8_t value : pixels(*dataset, Split::train, i)) values.add(value);
  }
  EXPECT_EQ(one.pixels, fmt::format("{:016x}", values.value()));
}

TEST(Synthetic, HasTheRequestedShapeSizesAndBalancedClasses) {
  const auto dataset = make_synthetic({.shape = {3, 17, 2}, .classes = 6, .train_images = 60, .test_images = 12, .seed = 1});
  const DatasetInfo& info = dataset->info();
  EXPECT_EQ(info.shape, (ImageShape{3, 17, 2}));
  EXPECT_EQ(info.images(Split::train), 60);
  EXPECT_EQ(info.images(Split::test), 12);
  EXPECT_EQ(info.classes(), 6);
  std::vector<std::uint8_t> scratch(info.shape.count());
  for (const Split split : {Split::train, Split::test}) {
    std::vector<std::int64_t> counts(6, 0);
    for (std::int64_t i = 0; i < info.images(split); ++i)
      ++counts.at(static_cast<std::size_t>(dataset->read(split, i, scratch).label));
    EXPECT_EQ(counts, std::vector<std::int64_t>(6, info.images(split) / 6));
  }
}

TEST(Synthetic, NearestClassMeanClassifiesMostTestImages) {
  constexpr int kClasses = 10;
  const auto dataset =
      make_synthetic({.shape = {16, 16, 3}, .classes = kClasses, .train_images = 500, .test_images = 200, .seed = 3});
  const std::size_t values = dataset->info().shape.count();
  std::vector<double> mean(kClasses * values, 0.0);
  for (int i = 0; i < 500; ++i) {
    const auto image = pixels(*dataset, Split::train, i);
    for (std::size_t v = 0; v < values; ++v) mean[static_cast<std::size_t>(i % kClasses) * values + v] += image[v] / 50.0;
  }
  int correct = 0;
  for (int i = 0; i < 200; ++i) {
    const auto image = pixels(*dataset, Split::test, i);
    std::vector<double> distance(kClasses, 0.0);
    for (std::size_t k = 0; k < kClasses; ++k) {
      for (std::size_t v = 0; v < values; ++v)
        distance[k] += (image[v] - mean[k * values + v]) * (image[v] - mean[k * values + v]);
    }
    correct += std::min_element(distance.begin(), distance.end()) - distance.begin() == i % kClasses ? 1 : 0;
  }
  EXPECT_GE(correct, 190);  // chance: 20
}

TEST(Synthetic, RejectsInvalidSizes) {
  const auto rejects = [](const SyntheticOptions& options, const std::vector<std::string_view>& words) {
    return throws<InputError>(words, [&] { make_synthetic(options); });
  };
  EXPECT_TRUE(rejects({.shape = {0, 4, 3}}, {"synthetic", "0x4x3", "1x1x1", "268435456"}));
  EXPECT_TRUE(rejects({.shape = {1 << 20, 1 << 20, 3}}, {"synthetic", "1048576x1048576x3", "1x1x1", "268435456"}));
  EXPECT_TRUE(rejects({.classes = 0}, {"synthetic", "0", "classes", "1"}));
  EXPECT_TRUE(rejects({.train_images = 0}, {"synthetic", "0", "training", "1000", "test"}));
  EXPECT_TRUE(rejects({.test_images = -1}, {"synthetic", "5000", "training", "-1", "test"}));
}

}  // namespace
}  // namespace apam::data
