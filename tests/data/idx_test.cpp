// Fashion-MNIST: content, errors of malformed files, and the files of Debian's package if it is installed.
#include "data/idx.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/data/png_picture.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kStoredImage = 28 * 28;

std::uint8_t value_at(std::size_t image, std::size_t i) { return static_cast<std::uint8_t>(image * 50 + i % 251 + 1); }

Bytes numbers(std::initializer_list<std::uint32_t> values) {
  Bytes bytes;
  for (const std::uint32_t value : values) {
    const Bytes four = big_endian(value);
    bytes.insert(bytes.end(), four.begin(), four.end());
  }
  return bytes;
}

Bytes images(std::uint32_t count) {
  Bytes bytes = numbers({0x803, count, 28, 28});
  for (std::size_t image = 0; image < count; ++image) {
    for (std::size_t i = 0; i < kStoredImage; ++i) bytes.push_back(value_at(image, i));
  }
  return bytes;
}

Bytes labels(const Bytes& values) {
  Bytes bytes = numbers({0x801, static_cast<std::uint32_t>(values.size())});
  bytes.insert(bytes.end(), values.begin(), values.end());
  return bytes;
}

/// Three training images and two test images.
void write_set(const TemporaryFolder& folder, const std::string& below = "", bool gzip = true) {
  const auto write = [&](const std::string& name, const Bytes& bytes) {
    folder.write(below + name + (gzip ? ".gz" : ""), gzip ? compress(bytes, true) : bytes);
  };
  write("train-images-idx3-ubyte", images(3));
  write("train-labels-idx1-ubyte", labels({9, 0, 4}));
  write("t10k-images-idx3-ubyte", images(2));
  write("t10k-labels-idx1-ubyte", labels({5, 6}));
}

struct StoredImage {
  Bytes pixels;
  int label;
};

std::vector<StoredImage> read_stored(Source& source, std::size_t part, std::int64_t first = 0) {
  std::vector<StoredImage> read;
  source.read(part, first, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
    read.push_back({{pixels.begin(), pixels.end()}, label});
  });
  return read;
}

TEST(FashionMnist, PadsImagesAndRepeatsTheChannel) {
  const TemporaryFolder folder;
  write_set(folder);
  const auto source = open_fashion_mnist(folder.path());
  EXPECT_EQ(source->info().shape, (ImageShape{32, 32, 3}));
  const auto read = read_stored(*source, 0);
  ASSERT_EQ(read.size(), 3U);
  for (std::size_t image = 0; image < 3; ++image) {
    for (std::size_t y = 0; y < 32; ++y) {
      for (std::size_t x = 0; x < 32; ++x) {
        const bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;
        for (std::size_t c = 0; c < 3; ++c) {
          ASSERT_EQ(read[image].pixels[(y * 32 + x) * 3 + c], inside ? value_at(image, (y - 2) * 28 + x - 2) : 0)
              << image << ' ' << y << ' ' << x;
        }
      }
    }
  }
}

TEST(FashionMnist, ReadsPartsFromAnyImage) {
  const TemporaryFolder folder;
  write_set(folder);
  const auto source = open_fashion_mnist(folder.path());
  ASSERT_EQ(source->info().parts.size(), 2U);
  EXPECT_EQ(source->info().parts[0].name, "train");
  EXPECT_EQ(source->info().parts[0].images, 3);
  EXPECT_EQ(source->info().parts[1].name, "test");
  EXPECT_EQ(source->info().parts[1].images, 2);
  EXPECT_EQ(source->info().class_names.at(9), "Ankle boot");
  EXPECT_EQ(source->info().class_names.size(), 10U);
  const auto from_1 = read_stored(*source, 0, 1);
  ASSERT_EQ(from_1.size(), 2U);
  EXPECT_EQ(from_1[0].label, 0);
  EXPECT_EQ(from_1[1].label, 4);
  EXPECT_EQ(from_1[1].pixels[(2 * 32 + 2) * 3], value_at(2, 0));
  EXPECT_TRUE(read_stored(*source, 0, 3).empty());
  EXPECT_EQ(read_stored(*source, 1)[1].label, 6);
}

TEST(FashionMnist, FindsFilesInSubfoldersAndWithoutCompression) {
  for (const std::string below : {"", "fashion-mnist/", "FashionMNIST/raw/"}) {
    for (const bool gzip : {true, false}) {
      const TemporaryFolder folder;
      write_set(folder, below, gzip);
      const auto source = open_fashion_mnist(folder.path());
      EXPECT_EQ(fs::path(source->info().location), (folder.path() / below / "").parent_path());
      EXPECT_EQ(read_stored(*source, 0, 2)[0].pixels[(2 * 32 + 2) * 3], value_at(2, 0));
    }
  }
}

/// A change to a valid folder, and the words of the error after its name.
struct MalformedSet {
  const char* name;
  std::function<void(const TemporaryFolder&)> corrupt;
  std::vector<std::string_view> words;
};

void PrintTo(const MalformedSet& malformed, std::ostream* out) { *out << malformed.name; }

constexpr const char* kImages = "train-images-idx3-ubyte.gz";
constexpr const char* kLabels = "train-labels-idx1-ubyte.gz";

/// Replaces `file` by the compressed `bytes`.
std::function<void(const TemporaryFolder&)> replace(const char* file, Bytes bytes) {
  return [=](const TemporaryFolder& folder) { folder.write(file, compress(bytes, true)); };
}

/// Replaces `file` by the compressed `bytes`, changed by `change`.
std::function<void(const TemporaryFolder&)> damage(const char* file, const Bytes& bytes, std::function<void(Bytes&)> change) {
  Bytes compressed = compress(bytes, true);
  change(compressed);
  return [=](const TemporaryFolder& folder) { folder.write(file, compressed); };
}

std::vector<MalformedSet> malformed_sets() {
  Bytes short_images = images(3), long_images = images(3), long_labels = labels({1, 2, 3});
  short_images.pop_back();
  long_images.push_back(0);
  long_labels.push_back(0);
  return {
      {"folder_missing", [](const auto& f) { fs::remove_all(f.path()); }, {"exist"}},
      {"training_images_missing", [](const auto& f) { fs::remove(f.path() / kImages); }, {kImages}},
      {"training_labels_missing", [](const auto& f) { fs::remove(f.path() / kLabels); }, {kLabels, "No such file"}},
      {"test_images_missing",
       [](const auto& f) { fs::remove(f.path() / "t10k-images-idx3-ubyte.gz"); },
       {"t10k-images-idx3-ubyte.gz", "No such file"}},
      {"images_empty", [](const auto& f) { f.write(kImages, {}); }, {kImages, "empty"}},
      {"images_one_byte", [](const auto& f) { f.write(kImages, {0}); }, {kImages, "1", "4"}},
      {"images_is_a_folder",
       [](const auto& f) {
         fs::remove(f.path() / kImages);
         fs::create_directory(f.path() / kImages);
       },
       {kImages, "directory"}},
      {"labels_for_images", replace(kImages, labels({1, 2, 3})), {kImages, "0x00000801", "0x00000803"}},
      {"images_for_labels", replace(kLabels, images(3)), {kLabels, "0x00000803", "0x00000801"}},
      {"integers_for_labels", replace(kLabels, numbers({0xC01, 3, 1, 2, 3})), {kLabels, "0x00000c01", "0x00000801"}},
      {"header_cut", replace(kImages, numbers({0x803, 3, 28})), {kImages, "12", "16"}},
      {"height", replace(kImages, numbers({0x803, 3, 32, 28})), {kImages, "32x28", "28x28"}},
      {"width", replace(kImages, numbers({0x803, 3, 28, 27})), {kImages, "28x27", "28x28"}},
      {"no_images", replace(kImages, images(0)), {kImages, "0", "1 to 16777216"}},
      {"too_many_labels", replace(kLabels, numbers({0x801, 0xFFFFFFFF})), {kLabels, "4294967295", "16777216"}},
      {"labels_fewer_than_announced", replace(kLabels, numbers({0x801, 5, 0})), {kLabels, "12", "13"}},
      {"labels_more_than_announced", replace(kLabels, long_labels), {kLabels, "11"}},
      {"more_images_than_labels", replace(kImages, images(4)), {kImages, "4", kLabels, "3"}},
      {"label_10", replace(kLabels, labels({1, 10, 3})), {kLabels, "10", "1", "0 to 9"}},
      {"images_one_byte_short", replace(kImages, short_images), {kImages, "2367", "2368"}},
      {"images_one_byte_long", replace(kImages, long_images), {kImages, "2368"}},
      {"gzip_cut", damage(kImages, images(3), [](Bytes& b) { b.resize(b.size() - 9); }), {kImages}},
      {"gzip_cut_in_checksum", damage(kLabels, labels({1, 2, 3}), [](Bytes& b) { b.pop_back(); }), {kLabels}},
      {"gzip_checksum", damage(kLabels, labels({1, 2, 3}), [](Bytes& b) { b.end()[-8] ^= 1; }), {kLabels, "data check"}},
      {"gzip_size", damage(kImages, images(3), [](Bytes& b) { b.back() ^= 1; }), {kImages, "length check"}},
      {"gzip_method", damage(kLabels, labels({1, 2, 3}), [](Bytes& b) { b[2] = 7; }), {kLabels, "compression method"}},
      {"gzip_followed_by_bytes", damage(kLabels, labels({1, 2, 3}), [](Bytes& b) { b.push_back(0); }), {kLabels}},
  };
}

class MalformedFashionMnist : public testing::TestWithParam<MalformedSet> {};

TEST_P(MalformedFashionMnist, IsRejected) {
  const TemporaryFolder folder;
  write_set(folder);
  ASSERT_EQ(read_stored(*open_fashion_mnist(folder.path()), 0).size(), 3U);
  GetParam().corrupt(folder);
  std::vector<std::string_view> words = GetParam().words;
  words.insert(words.begin(), {"fashion-mnist", folder.path().native()});
  EXPECT_TRUE(throws<InputError>(words, [&] { read_stored(*open_fashion_mnist(folder.path()), 0); }));
}

INSTANTIATE_TEST_SUITE_P(Files, MalformedFashionMnist, testing::ValuesIn(malformed_sets()),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(FashionMnist, ReadsDebiansPackageAndItsNormalisationIsThatOfTheTrainingImages) {
  if (!fs::exists(kFashionMnistFolder)) GTEST_SKIP() << "Debian's package dataset-fashion-mnist is not installed";
  const auto source = open_fashion_mnist({});
  ASSERT_EQ(source->info().parts[0].images, 60000);
  ASSERT_EQ(source->info().parts[1].images, 10000);
  std::vector<std::int64_t> histogram(10);
  std::uint64_t sum = 0, squares = 0;
  source->read(0, 0, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
    ++histogram[static_cast<std::size_t>(label)];
    for (std::size_t i = 0; i < pixels.size(); i += 3) {
      sum += pixels[i];
      squares += std::uint64_t{pixels[i]} * pixels[i];
    }
  });
  EXPECT_EQ(histogram, std::vector<std::int64_t>(10, 6000));
  const double count = 60000.0 * 32 * 32, mean = static_cast<double>(sum) / count;
  EXPECT_EQ(kFashionMnistMean, static_cast<float>(mean / 255));
  EXPECT_EQ(kFashionMnistDeviation, static_cast<float>(std::sqrt(static_cast<double>(squares) / count - mean * mean) / 255));
  EXPECT_EQ(source->info().normalisation.subtract, std::vector<float>(3, kFashionMnistMean));
}

}  // namespace
}  // namespace apam::data
