// Exported data sets are read back; statistics of known images.
#include "data/export.h"

#include <gtest/gtest.h>

#include <cmath>
#include <iterator>

#include "data/adapted_source.h"
#include "data/cifar10.h"
#include "data/image_tree.h"
#include "data/imagenet32_npz.h"
#include "data/npy.h"
#include "data/npz_writer.h"
#include "data/statistics.h"
#include "data/synthetic.h"
#include "data/zip_archive.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

struct ExportedImage {
  std::vector<std::uint8_t> pixels;
  std::int32_t label = 0;

  friend bool operator==(const ExportedImage&, const ExportedImage&) = default;
};

std::vector<ExportedImage> images_of(Source& source, std::size_t part) {
  std::vector<ExportedImage> images;
  source.read(part, 0, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
    images.push_back({{pixels.begin(), pixels.end()}, label});
  });
  return images;
}

/// 53 and 21 computed images under the name and classes of CIFAR-10.
std::unique_ptr<Source> computed(int classes = 10) {
  const auto dataset = make_synthetic({.classes = classes, .train_images = 53, .test_images = 21});
  auto source = source_of(dataset);
  if (classes != 10) return source;
  return renamed(std::move(source), {"cifar10", cifar10_classes(), cifar10_normalisation()});
}

void expect_same_images(Source& actual, Source& expected) {
  ASSERT_EQ(actual.info().parts.size(), expected.info().parts.size());
  for (std::size_t part = 0; part < expected.info().parts.size(); ++part) {
    EXPECT_EQ(actual.info().parts[part].name, expected.info().parts[part].name);
    EXPECT_EQ(images_of(actual, part), images_of(expected, part));
  }
}

TEST(Export, WritesBinaryFiles) {
  const TemporaryFolder folder;
  const auto source = computed();
  EXPECT_TRUE(export_images(*source, folder.path() / "out", {.format = "cifar-binary"}).empty());
  expect_same_images(*source_of(open_cifar10(folder.path() / "out")), *source);
}

TEST(Export, WritesNpzFilesWithTheMeanImage) {
  const TemporaryFolder folder;
  const auto source = computed();
  EXPECT_TRUE(export_images(*source, folder.path() / "out", {.format = "npz"}).empty());
  const auto read = open_imagenet32_npz(folder.path() / "out", LabelOrder::devkit);
  expect_same_images(*read, *source);
  double sum = 0;
  for (const ExportedImage& image : images_of(*source, 0)) sum += image.pixels[7];
  EXPECT_FLOAT_EQ(read->info().normalisation.subtract.at(7), static_cast<float>(sum / 53 / 255));
  const auto files = std::distance(fs::directory_iterator(folder.path() / "out"), fs::directory_iterator());
  EXPECT_EQ(files, 9 + 1) << "53 images, 6 per file";
}

TEST(Export, WritesATreeInTheSameOrder) {
  const TemporaryFolder folder;
  const auto source = computed();
  EXPECT_TRUE(export_images(*source, folder.path() / "out", {.format = "png-tree"}).empty());
  expect_same_images(*open_cinic10_tree(folder.path() / "out"), *source);
  const auto tree = open_imagenet32_tree(folder.path() / "out");
  expect_same_images(*tree, *source);
  export_images(*source, folder.path() / "npz", {.format = "npz"});
  const auto npz = open_imagenet32_npz(folder.path() / "npz", LabelOrder::devkit);
  EXPECT_EQ(tree->info().normalisation.subtract, npz->info().normalisation.subtract);
}

TEST(Export, KeepsTheOrderOfLabelsInATree) {
  const TemporaryFolder folder;
  const auto source = computed(12);  // "class 10" sorts before "class 2"
  export_images(*source, folder.path() / "out", {.format = "png-tree"});
  EXPECT_TRUE(fs::is_directory(folder.path() / "out" / "train" / "00010-class 10"));
  expect_same_images(*open_imagenet32_tree(folder.path() / "out"), *source);
}

TEST(Export, TakesTheFirstImages) {
  const TemporaryFolder folder;
  const auto source = computed();
  export_images(*source, folder.path() / "out", {.format = "cifar-binary", .train_images = 7, .test_images = 2});
  const auto dataset = open_cifar10(folder.path() / "out");
  EXPECT_EQ(dataset->info().train_images, 7);
  EXPECT_EQ(dataset->info().test_images, 2);
  EXPECT_EQ(images_of(*source_of(dataset), 0).back(), images_of(*source, 0).at(6));
  const auto remarks = export_images(*source, folder.path() / "tree", {.train_images = 7, .test_images = 2});
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_TRUE(support::has_words(remarks[0], {"3", "10", "classes"}));
}

TEST(Export, RefusesWhatAFormatCannotHold) {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "out";
  const auto twelve = computed(12), source = computed();
  EXPECT_TRUE(throws<InputError>({"export", "cifar-binary", "10", "12"},
                                 [&] { export_images(*twelve, out, {.format = "cifar-binary"}); }));
  const auto small = source_of(make_synthetic({.shape = {8, 8, 3}, .train_images = 3, .test_images = 3}));
  EXPECT_TRUE(
      throws<InputError>({"export", "npz", "32x32x3", "8x8x3"}, [&] { export_images(*small, out, {.format = "npz"}); }));
  EXPECT_TRUE(throws<InputError>({"export", "tar", "png-tree"}, [&] { export_images(*source, out, {.format = "tar"}); }));
  EXPECT_TRUE(throws<InputError>({"export", "54", "train", "53"}, [&] { export_images(*source, out, {.train_images = 54}); }));
  EXPECT_TRUE(fs::is_empty(folder.path())) << "nothing is left";
  folder.write("out/file", {1});
  EXPECT_TRUE(throws<InputError>({"export", out.native(), "exists"}, [&] { export_images(*source, out, {}); }));
}

TEST(Export, LeavesNothingAfterAnInterruption) {
  const TemporaryFolder folder;
  const auto many = source_of(make_synthetic({.train_images = 600, .test_images = 3}));
  struct Stop {};
  const ExportOptions options{.format = "cifar-binary", .progress = [](std::int64_t) { throw Stop{}; }};
  EXPECT_THROW(export_images(*many, folder.path() / "out", options), Stop);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(NpzWriter, WritesArraysThatCanBeReadBack) {
  const TemporaryFolder folder;
  const std::vector<double> numbers{1.5, -2.25, 1e300};
  const std::vector<std::int64_t> labels{7, -1};
  const std::vector<NpyArray> arrays{
      {.name = "mean", .descr = "<f8", .shape = {3}, .values = std::as_bytes(std::span(numbers))},
      {.name = "labels", .descr = "<i8", .shape = {2, 1}, .values = std::as_bytes(std::span(labels))}};
  write_npz(folder.path() / "a.npz", arrays);
  const ZipArchive archive("test", folder.path() / "a.npz");
  ASSERT_EQ(archive.entries().size(), 2U);
  ASSERT_NE(archive.find("mean.npy"), nullptr);
  for (const NpyArray& array : arrays) {
    const ZipEntry& entry = *archive.find(array.name + ".npy");
    std::vector<std::uint8_t> file(entry.size);
    ZipReader(archive, entry).read(file);  // verifies the checksum
    const Npy npy = read_npy(array.name, file);
    EXPECT_EQ(npy.header.shape, array.shape);
    EXPECT_EQ(npy.header.bytes % 64, 0U);
    EXPECT_EQ(npy.number(1), array.name == "mean" ? -2.25 : -1);
  }
  write_npy(folder.path() / "a.npy", arrays[0]);
  EXPECT_EQ(read_npy(folder.path() / "a.npy").number(2), 1e300);
}

TEST(Statistics, OfKnownImages) {
  const auto source = source_of(std::make_shared<NumberedImages>(4, ImageShape{2, 2, 1}));
  const auto parts = statistics_of(*source);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].name, "train");
  EXPECT_EQ(parts[0].images, 4);
  EXPECT_EQ(parts[0].images_per_class, (std::vector<std::int64_t>{1, 1, 1, 1}));
  double sum = 0, squares = 0;
  for (int image = 0; image < 4; ++image) {
    for (std::size_t i = 0; i < 4; ++i) {
      const double value = NumberedImages::byte(Split::train, image, i);
      sum += value;
      squares += value * value;
    }
  }
  EXPECT_DOUBLE_EQ(parts[0].mean.at(0), sum / 16 / 255);
  EXPECT_NEAR(parts[0].deviation.at(0), std::sqrt(squares / 16 - sum * sum / 256) / 255, 1e-12);
  EXPECT_NE(parts[0].pixels_sha256, parts[1].pixels_sha256);
  EXPECT_EQ(parts[0].labels_sha256, parts[1].labels_sha256);
}

TEST(Statistics, CompareWithTheFullSet) {
  std::vector<PartStatistics> parts{{.name = "train", .images = 50'000}, {.name = "test", .images = 9'999}};
  parts[0].images_per_class.assign(10, 5'000);
  parts[0].images_per_class[3] = 4'999;
  const auto lines = differences_from_official("cifar10", parts);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(support::has_words(lines[0], {"train", "4999", "class 3", "5000"}));
  EXPECT_TRUE(support::has_words(lines[1], {"test", "9999", "10000"}));
  EXPECT_TRUE(differences_from_official("synthetic", parts).empty());
}

}  // namespace
}  // namespace apam::data
