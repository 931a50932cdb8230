// The bundled sample: found by default, balanced, and part of the real CIFAR-10.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string>

#include "data/bundled_sample.h"
#include "data/cifar10.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

using LabelledBytes = std::pair<std::int32_t, std::string>;  // label, bytes

std::vector<LabelledBytes> images(const Dataset& dataset, Split split) {
  std::vector<std::uint8_t> scratch(dataset.info().shape.count());
  std::vector<LabelledBytes> result;
  for (std::int64_t i = 0; i < dataset.info().images(split); ++i) {
    const Sample sample = dataset.read(split, i, scratch);
    result.emplace_back(sample.label, std::string(sample.pixels.begin(), sample.pixels.end()));
  }
  return result;
}

/// The first `wanted` images of each class, in order.
std::vector<LabelledBytes> first_of_each(const std::vector<LabelledBytes>& all, int wanted) {
  std::array<int, 10> counts{};
  std::vector<LabelledBytes> result;
  for (const LabelledBytes& image : all) {
    if (counts[static_cast<std::size_t>(image.first)]++ < wanted) result.push_back(image);
  }
  return result;
}

TEST(BundledSample, IsOpenedForAnEmptyRoot) {
  const auto dataset = open_dataset({});
  EXPECT_EQ(describe(*dataset),
            "cifar10: 2500 training and 500 test images of 32x32x3 in 10 classes, from the bundled sample in " +
                bundled_sample().string());
}

TEST(BundledSample, IsBalancedWithoutDuplicates) {
  const auto dataset = open_cifar10({});
  std::set<std::string> distinct;
  for (const Split split : {Split::train, Split::test}) {
    std::array<std::int64_t, 10> counts{};
    for (const auto& [label, bytes] : images(*dataset, split)) {
      ++counts[static_cast<std::size_t>(label)];
      distinct.insert(bytes);
    }
    for (const std::int64_t count : counts) EXPECT_EQ(count, dataset->info().images(split) / 10);
  }
  EXPECT_EQ(distinct.size(), 3000U);
}

// The first record of the official data_batch_1.bin is a frog whose red plane begins 59, 43, 50, 68, 98.
TEST(BundledSample, StartsLikeTheOfficialFiles) {
  const auto dataset = open_cifar10({});
  std::vector<std::uint8_t> scratch(3072);
  const Sample frog = dataset->read(Split::train, 0, scratch);
  EXPECT_EQ(frog.label, 6);
  const int red[] = {59, 43, 50, 68, 98};
  for (std::size_t x = 0; x < 5; ++x) EXPECT_EQ(frog.pixels[3 * x], red[x]);
}

// The mean of the full set is (0.4914, 0.4822, 0.4465). The standard deviation of the mean of one image is about 0.12, that of
// 2500 images 0.0024. The tolerance is five standard deviations.
TEST(BundledSample, HasTheMeanOfTheFullSet) {
  const auto dataset = open_cifar10({});
  std::array<double, 3> sum{};
  for (const auto& [label, bytes] : images(*dataset, Split::train)) {
    for (std::size_t i = 0; i < bytes.size(); ++i) sum[i % 3] += static_cast<std::uint8_t>(bytes[i]) / 255.0;
  }
  const auto& mean = dataset->info().normalisation.subtract;
  for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(sum[c] / (2500.0 * 1024.0), mean[c], 0.012) << c;
}

// Requires the full set, in $APAM_CIFAR10 or in the folder used by scripts/get_data.sh.
TEST(BundledSample, HasTheFirstImagesOfEachClassOfTheFullSet) {
  const char* named = std::getenv("APAM_CIFAR10");
  const std::filesystem::path root =
      named != nullptr ? std::filesystem::path(named) : bundled_sample() / ".." / ".." / "data-root" / "cifar10";
  if (!std::filesystem::exists(root / "test_batch.bin")) GTEST_SKIP() << "no full CIFAR-10 in " << root;
  const auto full = open_cifar10(root);
  ASSERT_EQ(full->info().train_images, 50000);
  const auto sample = open_cifar10({});
  EXPECT_TRUE(images(*sample, Split::train) == first_of_each(images(*full, Split::train), 250));
  EXPECT_TRUE(images(*sample, Split::test) == first_of_each(images(*full, Split::test), 50));
}

}  // namespace
}  // namespace apam::data
