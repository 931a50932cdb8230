// The CIFAR-10 reader: content, folders, and errors of malformed files.
#include "data/cifar10.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "tests/data/support.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

TEST(Cifar10, ReadsAllFilesInNumericalOrder) {
  const TemporaryFolder folder;
  folder.write("data_batch_2.bin", cifar10_records({4}));
  folder.write("data_batch_10.bin", cifar10_records({5, 6, 7}));
  folder.write("data_batch_1.bin", cifar10_records({9, 0}));
  for (int n = 3; n < 10; ++n) folder.write(fmt::format("data_batch_{}.bin", n), cifar10_records({n - 2}));
  folder.write("test_batch.bin", cifar10_records({8, 3}));
  const auto dataset = open_cifar10(folder.path());

  EXPECT_EQ(dataset->info().train_images, 13);
  EXPECT_EQ(dataset->info().test_images, 2);
  EXPECT_EQ(dataset->info().shape, (ImageShape{32, 32, 3}));
  EXPECT_EQ(dataset->info().classes(), 10);
  EXPECT_EQ(dataset->info().class_names.at(6), "frog");
  std::vector<std::uint8_t> scratch(3072);
  std::vector<int> labels;
  for (int i = 0; i < 13; ++i) labels.push_back(dataset->read(Split::train, i, scratch).label);
  EXPECT_EQ(labels, (std::vector<int>{9, 0, 4, 1, 2, 3, 4, 5, 6, 7, 5, 6, 7}));
  EXPECT_EQ(dataset->read(Split::test, 0, scratch).label, 8);
  EXPECT_EQ(dataset->read(Split::test, 1, scratch).label, 3);
}

TEST(Cifar10, InterleavesTheChannelPlanes) {
  const TemporaryFolder folder;
  folder.write("data_batch_1.bin", cifar10_records({0, 1, 2}));
  folder.write("test_batch.bin", cifar10_records({0}));
  const auto dataset = open_cifar10(folder.path());
  std::vector<std::uint8_t> scratch(3072);
  const Sample sample = dataset->read(Split::train, 2, scratch);
  ASSERT_EQ(sample.pixels.size(), 3072U);
  for (std::size_t y = 0; y < 32; ++y) {
    for (std::size_t x = 0; x < 32; ++x) {
      for (std::size_t c = 0; c < 3; ++c) {
        ASSERT_EQ(sample.pixels[(y * 32 + x) * 3 + c], cifar10_byte(2, c * 1024 + y * 32 + x)) << y << ' ' << x << ' ' << c;
      }
    }
  }
}

TEST(Cifar10, FindsFilesInSubfolders) {
  for (const std::string below : {"", "cifar10/", "cifar-10-batches-bin/"}) {
    const TemporaryFolder folder;
    folder.write(below + "data_batch_1.bin", cifar10_records({1}));
    folder.write(below + "test_batch.bin", cifar10_records({2}));
    const auto dataset = open_cifar10(folder.path());
    EXPECT_EQ(fs::path(dataset->info().source), (folder.path() / below / "").parent_path());
    EXPECT_EQ(describe(*dataset),
              fmt::format("cifar10: 1 training and 1 test images of 32x32x3 in 10 classes, from {}", dataset->info().source));
  }
}

TEST(Cifar10, ReportsAFileThatIsTruncatedAfterOpening) {
  const TemporaryFolder folder;
  const auto path = folder.write("data_batch_1.bin", cifar10_records({0, 1, 2}));
  folder.write("test_batch.bin", cifar10_records({0}));
  const auto dataset = open_cifar10(folder.path());
  std::vector<std::uint8_t> scratch(3072);
  fs::resize_file(path, 2 * 3073 - 1);
  EXPECT_EQ(dataset->read(Split::train, 0, scratch).pixels[3], cifar10_byte(0, 1));
  for (const auto& [index, end] : {std::pair{1, 6145}, std::pair{2, 6147}}) {
    EXPECT_TRUE(throws<InputError>({"cifar10", path.native(), std::to_string(end), "9219"},
                                   [&, i = index] { dataset->read(Split::train, i, scratch); }));
  }
  fs::resize_file(path, 0);
  EXPECT_THROW(dataset->read(Split::train, 0, scratch), InputError);
  EXPECT_EQ(dataset->label(Split::train, 2), 2);
}

TEST(Cifar10, KeepsReadingAFileThatIsReplaced) {
  const TemporaryFolder folder;
  const auto path = folder.write("data_batch_1.bin", cifar10_records({0, 1, 2}));
  folder.write("test_batch.bin", cifar10_records({0}));
  const auto dataset = open_cifar10(folder.path());
  fs::rename(folder.write("fresh", std::vector<std::uint8_t>(3073, 9)), path);
  std::vector<std::uint8_t> scratch(3072);
  EXPECT_EQ(dataset->read(Split::train, 2, scratch).pixels[3], cifar10_byte(2, 1));
}

TEST(Cifar10, ReadsFilesOfSeveralChunks) {
  const TemporaryFolder folder;
  std::vector<int> labels;
  for (int i = 0; i < 600; ++i) labels.push_back(i % 7);
  folder.write("data_batch_1.bin", cifar10_records(labels));
  folder.write("data_batch_2.bin", cifar10_records({9}));
  labels[599] = 10;
  folder.write("test_batch.bin", cifar10_records({0}));
  const auto dataset = open_cifar10(folder.path());
  std::vector<std::uint8_t> scratch(3072);
  for (const int i : {0, 255, 256, 511, 512, 599}) {
    const Sample sample = dataset->read(Split::train, i, scratch);
    EXPECT_EQ(sample.label, i % 7);
    EXPECT_EQ(sample.pixels[0], cifar10_byte(static_cast<std::size_t>(i), 0)) << i;
  }
  EXPECT_EQ(dataset->read(Split::train, 600, scratch).label, 9);
  EXPECT_EQ(dataset->label(Split::train, 600), 9);
  const auto test = folder.write("test_batch.bin", cifar10_records(labels));
  EXPECT_TRUE(throws<InputError>({"cifar10", test.native(), "599", "10", "0 to 9"}, [&] { open_cifar10(folder.path()); }));
}

TEST(Cifar10, IgnoresOtherFiles) {
  const TemporaryFolder folder;
  folder.write("data_batch_1.bin", cifar10_records({1}));
  folder.write("test_batch.bin", cifar10_records({2}));
  for (const char* name :
       {"data_batch_.bin", "data_batch_2.bin.part", "data_batch_x.bin", "data_batch_02.bin", "batches.meta.txt"}) {
    folder.write(name, {1, 2, 3});
  }
  EXPECT_EQ(open_cifar10(folder.path())->info().train_images, 1);
}

/// A change to a valid folder of three files, and the words of the error after the folder.
struct MalformedFolder {
  const char* name;
  std::function<void(const TemporaryFolder&)> corrupt;
  std::vector<std::string_view> words;
};

void PrintTo(const MalformedFolder& folder, std::ostream* out) { *out << folder.name; }

std::vector<std::uint8_t> resized(std::vector<std::uint8_t> bytes, std::size_t size) {
  bytes.resize(size);
  return bytes;
}

void remove(const TemporaryFolder& folder, const char* name) { ASSERT_TRUE(fs::remove(folder.path() / name)) << name; }

std::vector<MalformedFolder> malformed_cifar10() {
  const auto good = cifar10_records({0, 1, 2});
  return {
      {"folder_missing", [](const auto& f) { fs::remove_all(f.path()); }, {"exist"}},
      {"folder_is_a_file",
       [](const auto& f) {
         fs::remove_all(f.path());
         std::ofstream(f.path()) << "a file";
       },
       {"directory"}},
      {"folder_empty",
       [](const auto& f) {
         for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"}) remove(f, name);
       },
       {"cifar10", "cifar-10-batches-bin", "data_batch_1.bin", "test_batch.bin"}},
      {"test_file_missing",
       [](const auto& f) { remove(f, "test_batch.bin"); },
       {"test_batch.bin", "No such file or directory"}},
      {"training_files_missing",
       [](const auto& f) {
         remove(f, "data_batch_1.bin");
         remove(f, "data_batch_2.bin");
       },
       {"no data_batch_1.bin"}},
      {"first_training_file_missing",
       [](const auto& f) { remove(f, "data_batch_1.bin"); },
       {"data_batch_2.bin", "no data_batch_1.bin"}},
      {"training_file_missing_between",
       [=](const auto& f) { f.write("data_batch_4.bin", good); },
       {"data_batch_4.bin", "no data_batch_3.bin"}},
      {"training_file_zero",
       [=](const auto& f) { f.write("data_batch_0.bin", good); },
       {"data_batch_0.bin", "no data_batch_1.bin"}},
      {"training_file_empty", [](const auto& f) { f.write("data_batch_2.bin", {}); }, {"data_batch_2.bin", "empty"}},
      {"test_file_empty", [](const auto& f) { f.write("test_batch.bin", {}); }, {"test_batch.bin", "empty"}},
      {"one_byte_short",
       [=](const auto& f) { f.write("data_batch_1.bin", resized(good, 9218)); },
       {"data_batch_1.bin", "9218", "3073"}},
      {"one_byte_long",
       [=](const auto& f) { f.write("test_batch.bin", resized(good, 9220)); },
       {"test_batch.bin", "9220", "3073"}},
      {"one_byte_only", [](const auto& f) { f.write("data_batch_1.bin", {3}); }, {"data_batch_1.bin", "1", "3073"}},
      {"records_without_label",
       [=](const auto& f) { f.write("data_batch_1.bin", resized(good, 3072)); },
       {"data_batch_1.bin", "3072", "3073"}},
      {"label_just_above",
       [](const auto& f) {
         f.write("data_batch_2.bin", cifar10_records({9, 10}));
       },
       {"data_batch_2.bin", "1", "10", "0 to 9"}},
      {"label_far_above",
       [](const auto& f) {
         f.write("test_batch.bin", cifar10_records({1, 2, 255, 3}));
       },
       {"test_batch.bin", "2", "255", "0 to 9"}},
      {"directory_instead_of_a_file",
       [](const auto& f) {
         remove(f, "data_batch_1.bin");
         fs::create_directory(f.path() / "data_batch_1.bin");
       },
       {"data_batch_1.bin", "directory", "regular file"}},
      {"fifo_instead_of_a_file",
       [](const auto& f) {
         remove(f, "test_batch.bin");
         ASSERT_EQ(::mkfifo((f.path() / "test_batch.bin").c_str(), 0600), 0);
       },
       {"test_batch.bin", "special file", "regular file"}},
      {"dangling_link",
       [](const auto& f) {
         remove(f, "data_batch_2.bin");
         fs::create_symlink(f.path() / "nowhere", f.path() / "data_batch_2.bin");
       },
       {"data_batch_2.bin", "No such file or directory"}},
  };
}

class MalformedCifar10 : public testing::TestWithParam<MalformedFolder> {};

TEST_P(MalformedCifar10, IsRejected) {
  const TemporaryFolder folder;
  folder.write("data_batch_1.bin", cifar10_records({0, 1}));
  folder.write("data_batch_2.bin", cifar10_records({2}));
  folder.write("test_batch.bin", cifar10_records({3}));
  ASSERT_EQ(open_cifar10(folder.path())->info().train_images, 3);
  GetParam().corrupt(folder);
  std::vector<std::string_view> words = GetParam().words;
  words.insert(words.begin(), {"cifar10", folder.path().native()});
  EXPECT_TRUE(throws<InputError>(words, [&] { open_cifar10(folder.path()); }));
}

INSTANTIATE_TEST_SUITE_P(Files, MalformedCifar10, testing::ValuesIn(malformed_cifar10()),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(OpenDataset, RejectsUnknownNamesAndARootForSyntheticImages) {
  EXPECT_TRUE(throws<InputError>({"data", "mnist", "cifar10", "synthetic"}, [] { open_dataset({.name = "mnist"}); }));
  EXPECT_TRUE(throws<InputError>({"data", "synthetic", "/tmp"}, [] { open_dataset({.name = "synthetic", .root = "/tmp"}); }));
  EXPECT_EQ(open_dataset({.name = "synthetic"})->info().name, "synthetic");
}

}  // namespace
}  // namespace apam::data
