// Warnings about well-formed but useless data.
#include "data/sanity_check.h"

#include <gtest/gtest.h>

#include "data/cifar10.h"
#include "data/synthetic.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

using Lines = std::vector<std::string>;

/// Warnings for CIFAR-10 files with these bytes.
Lines warnings_of(const std::vector<std::uint8_t>& train, const std::vector<std::uint8_t>& test) {
  const TemporaryFolder folder;
  folder.write("data_batch_1.bin", train);
  folder.write("test_batch.bin", test);
  return sanity_warnings(*open_cifar10(folder.path()));
}

std::vector<std::uint8_t> zeros(std::size_t records) { return std::vector<std::uint8_t>(records * 3073); }

TEST(SanityWarnings, ValidDataHasNone) {
  EXPECT_EQ(sanity_warnings(*open_cifar10({})), Lines{});
  EXPECT_EQ(warnings_of(cifar10_records({0, 1}), cifar10_records({3, 3, 4})), Lines{});
  EXPECT_EQ(sanity_warnings(*make_synthetic({.train_images = 100000, .test_images = 2})), Lines{});
  EXPECT_EQ(sanity_warnings(*make_synthetic({.classes = 1})), Lines{});  // only one label exists
}

TEST(SanityWarnings, SingleImagesAreNotChecked) { EXPECT_EQ(warnings_of(zeros(1), zeros(1)), Lines{}); }

TEST(SanityWarnings, ZerosHaveEqualLabelsAndPixels) {
  EXPECT_EQ(warnings_of(zeros(100), zeros(7)), (Lines{
                                                   "cifar10: all 100 training images have label 0, of 10 classes",
                                                   "cifar10: 25 training images checked, all have the value 0 in all pixels",
                                                   "cifar10: all 7 test images have label 0, of 10 classes",
                                                   "cifar10: 7 test images checked, all have the value 0 in all pixels",
                                               }));
}

TEST(SanityWarnings, EqualLabels) {
  EXPECT_EQ(warnings_of(cifar10_records({7, 7, 7}), cifar10_records({1, 2})),
            Lines{"cifar10: all 3 training images have label 7, of 10 classes"});
}

TEST(SanityWarnings, EqualImages) {
  auto twice = cifar10_records({1}), other = twice;
  other[0] = 2;
  twice.insert(twice.end(), other.begin(), other.end());
  EXPECT_EQ(warnings_of(cifar10_records({1, 2}), twice), Lines{"cifar10: 2 test images checked, all are the same image"});
}

}  // namespace
}  // namespace apam::data
