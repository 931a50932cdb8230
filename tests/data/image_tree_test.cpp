// Folders of PNG files: CINIC-10 and downsampled ImageNet.
#include "data/image_tree.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "data/mean_image.h"
#include "tests/data/npz_writer.h"
#include "tests/data/png_picture.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array kTreeClasses = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

/// A valid file. Written once: compressing takes most of the time of these tests.
const Bytes& plain_file() {
  static const Bytes file = png_file(PngPicture{});
  return file;
}

Bytes image(int palette_entries) {
  return png_file(PngPicture{.format = {PngColour::palette, 8}, .palette_entries = palette_entries});
}

/// A small CINIC-10: per part one image of each class, named so that the order of names is the reverse of the labels.
void write_cinic10_tree(const TemporaryFolder& folder, const std::string& below = "") {
  for (const char* part : {"train", "valid", "test"}) {
    for (std::size_t label = 0; label < kTreeClasses.size(); ++label) {
      folder.write(fmt::format("{}{}/{}/{}.png", below, part, kTreeClasses[label], 9 - label), plain_file());
    }
  }
}

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  std::copy_n(reinterpret_cast<const std::uint8_t*>(values.data()), bytes.size(), bytes.begin());
  return bytes;
}

/// The mean of channel c of pixel i, in 0 .. 255.
double mean_at(std::size_t i, std::size_t c) { return static_cast<double>(i * 3 + c) / 3072 * 250; }

/// The mean image in the order (H, W, C), or (C, H, W) if `planar`, multiplied by `scale`.
template <class T>
std::vector<T> tree_mean(bool planar, double scale = 1) {
  std::vector<T> values(3072);
  for (std::size_t i = 0; i < 1024; ++i) {
    for (std::size_t c = 0; c < 3; ++c) values[planar ? c * 1024 + i : i * 3 + c] = static_cast<T>(mean_at(i, c) * scale);
  }
  return values;
}

Bytes good_mean() { return npy("<f4", "(32, 32, 3)", bytes_of(tree_mean<float>(false))); }

/// A small ImageNet32 of three classes, of which two are in val.
void write_imagenet32_tree(const TemporaryFolder& folder, const std::string& below = "", const std::string& test = "val") {
  for (const char* name : {"train/n03/x.png", "train/n01/z.png", "train/n01/a.png", "train/n02/y.png"}) {
    folder.write(below + name, plain_file());
  }
  folder.write(below + test + "/n03/1.png", plain_file());
  folder.write(below + test + "/n01/2.png", plain_file());
  folder.write(below + "image_mean.npy", good_mean());
}

std::vector<int> labels(Source& source, std::size_t part, std::int64_t first = 0) {
  std::vector<int> read;
  source.read(part, first, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
    EXPECT_EQ(pixels.size(), 3072U);
    read.push_back(label);
  });
  return read;
}

TEST(Cinic10Tree, ReadsImagesInTheOrderOfTheirNames) {
  const TemporaryFolder folder;
  write_cinic10_tree(folder);
  folder.write("train/bird/10.png", image(5));
  folder.write("train/airplane/10.png", image(7));
  const auto source = open_cinic10_tree(folder.path());
  const SourceInfo& info = source->info();
  EXPECT_EQ(info.name, "cinic10");
  EXPECT_EQ(info.location, folder.path().string());
  EXPECT_EQ(info.class_names, std::vector<std::string>(kTreeClasses.begin(), kTreeClasses.end()));
  ASSERT_EQ(info.parts.size(), 3U);
  EXPECT_EQ(info.parts[0].name, "train");
  EXPECT_EQ(info.parts[0].images, 12);
  EXPECT_EQ(info.parts[1].name, "valid");
  EXPECT_EQ(info.parts[2].name, "test");
  EXPECT_EQ(info.parts[2].images, 10);
  EXPECT_EQ(info.normalisation.subtract, (std::vector<float>{0.47889522F, 0.47227842F, 0.43047404F}));
  EXPECT_EQ(info.normalisation.divide, (std::vector<float>{0.24205776F, 0.23828046F, 0.25874835F}));

  // Bytewise: "0.png", "1.png", "10.png", "2.png"; for the two files 10.png the lower label comes first.
  EXPECT_EQ(labels(*source, 0), (std::vector<int>{9, 8, 0, 2, 7, 6, 5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(labels(*source, 0, 2), (std::vector<int>{0, 2, 7, 6, 5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(labels(*source, 0, 12), std::vector<int>{});
  EXPECT_EQ(labels(*source, 1), (std::vector<int>{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}));

  std::vector<Bytes> pixels;
  source->read(0, 2, [&](std::span<const std::uint8_t> read, std::int32_t) { pixels.emplace_back(read.begin(), read.end()); });
  EXPECT_EQ(pixels[0], (PngPicture{.format = {PngColour::palette, 8}, .palette_entries = 7}.rgb()));
  EXPECT_EQ(pixels[1], (PngPicture{.format = {PngColour::palette, 8}, .palette_entries = 5}.rgb()));
  EXPECT_EQ(pixels[2], PngPicture{}.rgb());
}

TEST(Cinic10Tree, CountsConversions) {
  const TemporaryFolder folder;
  write_cinic10_tree(folder);
  folder.write("train/cat/6.png", png_file(PngPicture{.format = {PngColour::grey, 8}}));
  const auto source = open_cinic10_tree(folder.path());
  EXPECT_TRUE(source->notes().empty());
  labels(*source, 0);
  labels(*source, 2);
  EXPECT_EQ(source->notes(), std::vector<std::string>{"1 8-bit grey images converted to RGB"});
}

TEST(Cinic10Tree, ReadsSubfoldersAndTreesWithoutValid) {
  for (const std::string below : {"cinic10/", "CINIC-10/"}) {
    const TemporaryFolder folder;
    write_cinic10_tree(folder, below);
    fs::remove_all(folder.path() / below / "valid");
    const auto source = open_cinic10_tree(folder.path());
    EXPECT_EQ(fs::path(source->info().location), (folder.path() / below).parent_path());
    ASSERT_EQ(source->info().parts.size(), 2U);
    EXPECT_EQ(source->info().parts[1].name, "test");
  }
}

TEST(Cinic10Tree, IgnoresHiddenFilesAndFollowsLinks) {
  const TemporaryFolder folder, other;
  write_cinic10_tree(folder);
  folder.write("train/.DS_Store", {1});
  folder.write("train/cat/.hidden", {1});
  folder.write("README", {1});
  fs::rename(folder.path() / "train/dog", other.path() / "dog");
  fs::create_directory_symlink(other.path() / "dog", folder.path() / "train/dog");
  fs::create_symlink(other.path() / "dog/4.png", folder.path() / "train/cat/other.jpg");
  EXPECT_EQ(labels(*open_cinic10_tree(folder.path()), 0), (std::vector<int>{9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 3}));
}

TEST(Cinic10Tree, ReportsFilesThatChangeAfterOpening) {
  const TemporaryFolder folder;
  write_cinic10_tree(folder);
  const auto source = open_cinic10_tree(folder.path());
  const fs::path path = folder.path() / "train/ship/1.png";
  const auto fails = [&](const std::vector<std::string_view>& words) {
    std::vector<std::string_view> all = {"cinic10", path.native()};
    all.insert(all.end(), words.begin(), words.end());
    return throws<InputError>(all, [&] { labels(*source, 0); });
  };
  fs::remove(path);
  EXPECT_TRUE(fails({"No such file"}));
  fs::create_directory(path);
  EXPECT_TRUE(fails({"Is a directory"}));
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_TRUE(fails({"empty"}));
  fs::remove(path);
  folder.write("train/ship/1.png", Bytes(3'000'000));
  EXPECT_TRUE(fails({"3000000", "1048576"}));
  fs::resize_file(path, 0);
  EXPECT_TRUE(fails({"empty"}));
  folder.write("train/ship/1.png", png_file(PngPicture{.height = 33}));
  EXPECT_TRUE(fails({"32x33", "32x32"}));
  EXPECT_EQ(labels(*source, 0, 2).size(), 8U);
}

TEST(Imagenet32Tree, LabelsAreTheSortedFolders) {
  for (const std::string test : {"val", "test"}) {
    for (const std::string below : {"", "imagenet32/"}) {
      const TemporaryFolder folder;
      write_imagenet32_tree(folder, below, test);
      const auto source = open_imagenet32_tree(folder.path());
      const SourceInfo& info = source->info();
      EXPECT_EQ(info.name, "imagenet32");
      ASSERT_EQ(info.class_names.size(), 1000U);
      EXPECT_EQ(info.class_names[2], "n03");
      EXPECT_EQ(info.class_names[3], "unused_003");
      ASSERT_EQ(info.parts.size(), 2U);
      EXPECT_EQ(info.parts[1].name, "test");
      EXPECT_EQ(info.parts[1].images, 2);
      EXPECT_EQ(labels(*source, 0), (std::vector<int>{0, 2, 1, 0}));
      EXPECT_EQ(labels(*source, 1), (std::vector<int>{2, 0}));
      ASSERT_EQ(info.normalisation.subtract.size(), 3072U);
      EXPECT_FLOAT_EQ(info.normalisation.subtract[3 * 1000 + 2], static_cast<float>(mean_at(1000, 2) / 255));
      EXPECT_EQ(info.normalisation.divide, std::vector<float>(3, 1));
    }
  }
}

TEST(Imagenet32Tree, AcceptsAThousandClassesAndNoMore) {
  const TemporaryFolder folder;
  write_imagenet32_tree(folder);
  const fs::path train = folder.path() / "train";
  const auto add = [&](int i) { fs::create_directory_symlink("n02", train / fmt::format("m{:04}", i)); };
  for (int i = 3; i < 1000; ++i) add(i);
  EXPECT_EQ(open_imagenet32_tree(folder.path())->info().class_names.at(999), "n03");
  add(1000);
  EXPECT_TRUE(throws<InputError>({"imagenet32", train.native(), "1001", "1000"}, [&] { open_imagenet32_tree(folder.path()); }));
}

TEST(Imagenet32Tree, ReadsTheMeanImageFromTheFolderAbove) {
  const TemporaryFolder folder;
  write_imagenet32_tree(folder, "images/");
  fs::rename(folder.path() / "images/image_mean.npy", folder.path() / "image_mean.npy");
  for (const char* name : {"images", "images/"}) {
    EXPECT_EQ(open_imagenet32_tree(folder.path() / name)->info().normalisation.subtract.size(), 3072U);
  }
  const auto before = fs::current_path();
  fs::current_path(folder.path() / "images");
  EXPECT_NO_THROW(open_imagenet32_tree("."));
  fs::current_path(before);
}

TEST(MeanImage, AcceptsEveryLayoutTypeAndUnit) {
  const TemporaryFolder folder;
  const std::array<std::pair<const char*, bool>, 3> shapes = {
      {{"(32, 32, 3)", false}, {"(3, 32, 32)", true}, {"(3072,)", true}}};
  for (const auto& [shape, planar] : shapes) {
    SCOPED_TRACE(shape);
    const std::vector<Bytes> files = {npy("<f4", shape, bytes_of(tree_mean<float>(planar))),
                                      npy("<f8", shape, bytes_of(tree_mean<double>(planar))),
                                      npy("<f8", shape, bytes_of(tree_mean<double>(planar, 1.0 / 255)))};
    for (const Bytes& file : files) {
      const auto mean = read_mean_image("test", folder.write("image_mean.npy", file), {32, 32, 3});
      ASSERT_EQ(mean.size(), 3072U);
      for (std::size_t i = 0; i < 1024; ++i) {
        for (std::size_t c = 0; c < 3; ++c) ASSERT_FLOAT_EQ(mean[i * 3 + c], static_cast<float>(mean_at(i, c) / 255));
      }
    }
    const auto bytes = npy("|u1", shape, tree_mean<std::uint8_t>(planar));
    EXPECT_FLOAT_EQ(read_mean_image("test", folder.write("image_mean.npy", bytes), {32, 32, 3})[3 * 500 + 1],
                    std::floor(static_cast<float>(mean_at(500, 1))) / 255);
  }
}

/// A change to a valid tree, and the words of the error after its name.
struct MalformedTree {
  const char* name;
  std::function<void(const TemporaryFolder&)> corrupt;
  std::vector<std::string_view> words;
};

void PrintTo(const MalformedTree& malformed, std::ostream* out) { *out << malformed.name; }

std::function<void(const TemporaryFolder&)> remove(const char* name) {
  return [=](const TemporaryFolder& folder) { ASSERT_GT(fs::remove_all(folder.path() / name), 0U); };
}

std::function<void(const TemporaryFolder&)> write(const char* name, Bytes bytes) {
  return [=](const TemporaryFolder& folder) { folder.write(name, bytes); };
}

std::function<void(const TemporaryFolder&)> link(const char* name, const char* target) {
  return [=](const TemporaryFolder& folder) {
    fs::remove_all(folder.path() / name);
    fs::create_symlink(target, folder.path() / name);
  };
}

std::vector<MalformedTree> malformed_cinic10() {
  return {
      {"folder_missing", [](const auto& f) { fs::remove_all(f.path()); }, {"exist"}},
      {"folder_is_a_file",
       [](const auto& f) {
         fs::remove_all(f.path());
         std::ofstream(f.path()) << "a file";
       },
       {"directory"}},
      {"train_missing", remove("train"), {"cinic10", "CINIC-10", "train"}},
      {"test_missing", remove("test"), {"test", "No such file"}},
      {"test_is_a_file",
       [](const auto& f) {
         fs::remove_all(f.path() / "test");
         f.write("test", {1});
       },
       {"test", "Not a directory"}},
      {"valid_is_a_broken_link", link("valid", "nowhere"), {"valid", "No such file"}},
      {"part_empty",
       [](const auto& f) {
         fs::remove_all(f.path() / "test");
         fs::create_directory(f.path() / "test");
       },
       {"test", "no folders"}},
      {"class_missing", remove("valid/frog"), {"valid", "frog", "airplane", "truck"}},
      {"class_unknown", write("test/tiger/a.png", {1}), {"test", "tiger", "airplane", "truck"}},
      {"class_empty", remove("train/deer/5.png"), {"train/deer", "0", "1"}},
      {"class_with_hidden_files_only",
       [](const auto& f) { fs::rename(f.path() / "train/deer/5.png", f.path() / "train/deer/.5.png"); },
       {"train/deer", "0", "1"}},
      {"file_among_classes", write("train/labels.txt", {1}), {"train/labels.txt", "file", "folders"}},
      {"folder_among_images", write("train/cat/more/a.png", {1}), {"train/cat/more", "folder", "PNG"}},
      {"fifo_among_images",
       [](const auto& f) { ASSERT_EQ(::mkfifo((f.path() / "train/cat/fifo").c_str(), 0600), 0); },
       {"train/cat/fifo", "special file", "PNG"}},
      {"link_to_nowhere", link("test/cat/a.png", "nowhere"), {"test/cat/a.png", "No such file"}},
      {"link_to_itself", link("test/cat/a.png", "a.png"), {"test/cat/a.png", "symbolic links"}},
      {"link_to_a_folder", link("test/cat/a.png", ".."), {"test/cat/a.png", "folder", "PNG"}},
      {"class_links_to_itself", link("test/cat", "cat"), {"test/cat", "symbolic links"}},
      {"class_links_to_its_parent", link("test/cat", "."), {"test/cat", "folder", "PNG"}},
      {"image_of_text", write("train/cat/a.png", {'t', 'e', 'x', 't'}), {"train/cat/a.png", "74 65 78 74", "89 50 4E 47"}},
      {"image_empty", write("train/cat/a.png", {}), {"train/cat/a.png", "empty"}},
      {"image_too_wide", write("train/cat/a.png", png_file(PngPicture{.width = 33})), {"train/cat/a.png", "33x32", "32x32"}},
  };
}

std::vector<MalformedTree> malformed_imagenet32() {
  auto nan = tree_mean<float>(false), negative = nan, large = nan;
  nan[17] = std::numeric_limits<float>::quiet_NaN();
  negative[18] = -1;
  large[19] = 256;
  return {
      {"train_missing", remove("train"), {"imagenet32", "train"}},
      {"no_test", remove("val"), {"0", "test", "val", "1"}},
      {"test_and_val", write("test/n01/a.png", {1}), {"2", "test", "val", "1"}},
      {"class_only_in_test", write("val/n04/a.png", plain_file()), {"val", "n04", "train"}},
      {"class_empty", remove("train/n02/y.png"), {"train/n02", "0", "1"}},
      {"archive_among_classes", write("train/n05.tar", {1}), {"train/n05.tar", "file", "folders"}},
      {"image_of_text", write("train/n01/b.png", {'t', 'e', 'x', 't'}), {"train/n01/b.png", "74 65 78 74"}},
      {"mean_missing", remove("image_mean.npy"), {"image_mean.npy"}},
      {"mean_shape", write("image_mean.npy", npy("<f4", "(32, 96)", bytes_of(tree_mean<float>(false)))), {"32, 96", "3072"}},
      {"mean_of_8x8",
       write("image_mean.npy", npy("<f4", "(8, 8, 3)", bytes_of(std::vector<float>(192)))),
       {"8, 8, 3", "32, 32, 3"}},
      {"mean_nan", write("image_mean.npy", npy("<f4", "(32, 32, 3)", bytes_of(nan))), {"nan", "17", "0 to 255"}},
      {"mean_negative", write("image_mean.npy", npy("<f4", "(32, 32, 3)", bytes_of(negative))), {"-1", "18", "0 to 255"}},
      {"mean_above_255", write("image_mean.npy", npy("<f4", "(32, 32, 3)", bytes_of(large))), {"256", "19", "0 to 255"}},
  };
}

/// Opens the tree and reads its parts. The error names the set and a path in the folder.
testing::AssertionResult is_rejected(const char* name, const MalformedTree& malformed, const TemporaryFolder& folder,
                                     std::unique_ptr<Source> (*open)(const fs::path&)) {
  malformed.corrupt(folder);
  std::vector<std::string_view> words = {name, folder.path().native()};
  words.insert(words.end(), malformed.words.begin(), malformed.words.end());
  return throws<InputError>(words, [&] {
    const auto source = open(folder.path());
    for (std::size_t part = 0; part < source->info().parts.size(); ++part) labels(*source, part);
  });
}

class MalformedCinic10Tree : public testing::TestWithParam<MalformedTree> {};
class MalformedImagenet32Tree : public testing::TestWithParam<MalformedTree> {};

TEST_P(MalformedCinic10Tree, IsRejected) {
  const TemporaryFolder folder;
  write_cinic10_tree(folder);
  EXPECT_TRUE(is_rejected("cinic10", GetParam(), folder, &open_cinic10_tree));
}

TEST_P(MalformedImagenet32Tree, IsRejected) {
  const TemporaryFolder folder;
  write_imagenet32_tree(folder);
  EXPECT_TRUE(is_rejected("imagenet32", GetParam(), folder, &open_imagenet32_tree));
}

INSTANTIATE_TEST_SUITE_P(Folders, MalformedCinic10Tree, testing::ValuesIn(malformed_cinic10()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Folders, MalformedImagenet32Tree, testing::ValuesIn(malformed_imagenet32()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace apam::data
