// The CIFAR-10 reader: what it reads, where it looks, and what it says about files that are not right.
#include "data/cifar10.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "tests/data/support.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

TEST(Cifar10, ReadsRecordsOfAllFilesInOrderOfTheirNumbers) {
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

TEST(Cifar10, FindsTheFilesOneFolderDown) {
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

TEST(Cifar10, ThatIsShortenedWhileItIsReadIsAnError) {
  const TemporaryFolder folder;
  const auto path = folder.write("data_batch_1.bin", cifar10_records({0, 1, 2}));
  folder.write("test_batch.bin", cifar10_records({0}));
  const auto dataset = open_cifar10(folder.path());
  std::vector<std::uint8_t> scratch(3072);
  fs::resize_file(path, 2 * 3073 - 1);
  EXPECT_EQ(dataset->read(Split::train, 0, scratch).pixels[3], cifar10_byte(0, 1));
  for (const auto& [index, end] : {std::pair{1, 6145}, std::pair{2, 6147}}) {
    EXPECT_EQ(message_of<InputError>([&, i = index] { dataset->read(Split::train, i, scratch); }),
              fmt::format("cifar10: {} ends at byte {}, it had 9219 bytes when it was opened", path.string(), end));
  }
  fs::resize_file(path, 0);
  EXPECT_THROW(dataset->read(Split::train, 0, scratch), InputError);
  EXPECT_EQ(dataset->label(Split::train, 2), 2);
}

TEST(Cifar10, WhoseFilesAreReplacedReadsTheOldOnes) {
  const TemporaryFolder folder;
  const auto path = folder.write("data_batch_1.bin", cifar10_records({0, 1, 2}));
  folder.write("test_batch.bin", cifar10_records({0}));
  const auto dataset = open_cifar10(folder.path());
  fs::rename(folder.write("fresh", std::vector<std::uint8_t>(3073, 9)), path);
  std::vector<std::uint8_t> scratch(3072);
  EXPECT_EQ(dataset->read(Split::train, 2, scratch).pixels[3], cifar10_byte(2, 1));
}

TEST(Cifar10, ReadsFilesOfMoreRecordsThanArePutTogether) {
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
  EXPECT_EQ(message_of<InputError>([&] { open_cifar10(folder.path()); }),
            fmt::format("cifar10: {} record 599 has label 10, expected 0 to 9", test.string()));
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

/// A good folder of three files, what is done to it, and what the reader then says; {} stands for the folder.
struct Malformed {
  const char* name;
  std::function<void(const TemporaryFolder&)> spoil;
  const char* message;
};

std::vector<std::uint8_t> resized(std::vector<std::uint8_t> bytes, std::size_t size) {
  bytes.resize(size);
  return bytes;
}

void remove(const TemporaryFolder& folder, const char* name) { ASSERT_TRUE(fs::remove(folder.path() / name)) << name; }

std::vector<Malformed> malformed_folders() {
  const auto good = cifar10_records({0, 1, 2});
  return {
      {"folder_missing", [](const auto& f) { fs::remove_all(f.path()); }, "cifar10: {} does not exist"},
      {"folder_is_a_file",
       [](const auto& f) {
         fs::remove_all(f.path());
         std::ofstream(f.path()) << "no folder";
       },
       "cifar10: {} is not a directory"},
      {"folder_empty",
       [](const auto& f) {
         for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"}) remove(f, name);
       },
       "cifar10: {} holds neither data_batch_1.bin nor test_batch.bin, and neither do cifar10/ and cifar-10-batches-bin/ in "
       "it"},
      {"test_file_missing", [](const auto& f) { remove(f, "test_batch.bin"); },
       "cifar10: {}/test_batch.bin cannot be opened: No such file or directory"},
      {"training_files_missing",
       [](const auto& f) {
         remove(f, "data_batch_1.bin");
         remove(f, "data_batch_2.bin");
       },
       "cifar10: {} has no data_batch_1.bin"},
      {"first_training_file_missing", [](const auto& f) { remove(f, "data_batch_1.bin"); },
       "cifar10: {} has data_batch_2.bin but no data_batch_1.bin: numbers run from 1 without gaps"},
      {"training_file_missing_between", [=](const auto& f) { f.write("data_batch_4.bin", good); },
       "cifar10: {} has data_batch_4.bin but no data_batch_3.bin: numbers run from 1 without gaps"},
      {"training_file_zero", [=](const auto& f) { f.write("data_batch_0.bin", good); },
       "cifar10: {} has data_batch_0.bin but no data_batch_1.bin: numbers run from 1 without gaps"},
      {"training_file_empty", [](const auto& f) { f.write("data_batch_2.bin", {}); }, "cifar10: {}/data_batch_2.bin is empty"},
      {"test_file_empty", [](const auto& f) { f.write("test_batch.bin", {}); }, "cifar10: {}/test_batch.bin is empty"},
      {"one_byte_short", [=](const auto& f) { f.write("data_batch_1.bin", resized(good, 9218)); },
       "cifar10: {}/data_batch_1.bin has 9218 bytes, which is not a multiple of a record's 3073"},
      {"one_byte_long", [=](const auto& f) { f.write("test_batch.bin", resized(good, 9220)); },
       "cifar10: {}/test_batch.bin has 9220 bytes, which is not a multiple of a record's 3073"},
      {"one_byte_only", [](const auto& f) { f.write("data_batch_1.bin", {3}); },
       "cifar10: {}/data_batch_1.bin has 1 bytes, which is not a multiple of a record's 3073"},
      {"records_without_labels", [=](const auto& f) { f.write("data_batch_1.bin", resized(good, 3072)); },
       "cifar10: {}/data_batch_1.bin has 3072 bytes, which is not a multiple of a record's 3073"},
      {"label_just_above",
       [](const auto& f) {
         f.write("data_batch_2.bin", cifar10_records({9, 10}));
       },
       "cifar10: {}/data_batch_2.bin record 1 has label 10, expected 0 to 9"},
      {"label_far_above",
       [](const auto& f) {
         f.write("test_batch.bin", cifar10_records({1, 2, 255, 3}));
       },
       "cifar10: {}/test_batch.bin record 2 has label 255, expected 0 to 9"},
      {"directory_for_a_file",
       [](const auto& f) {
         remove(f, "data_batch_1.bin");
         fs::create_directory(f.path() / "data_batch_1.bin");
       },
       "cifar10: {}/data_batch_1.bin is a directory, expected a regular file"},
      {"pipe_for_a_file",
       [](const auto& f) {
         remove(f, "test_batch.bin");
         ASSERT_EQ(::mkfifo((f.path() / "test_batch.bin").c_str(), 0600), 0);
       },
       "cifar10: {}/test_batch.bin is a special file, expected a regular file"},
      {"dangling_link",
       [](const auto& f) {
         remove(f, "data_batch_2.bin");
         fs::create_symlink(f.path() / "nowhere", f.path() / "data_batch_2.bin");
       },
       "cifar10: {}/data_batch_2.bin cannot be opened: No such file or directory"},
  };
}

class MalformedCifar10 : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedCifar10, IsRefusedWithTheReason) {
  const TemporaryFolder folder;
  folder.write("data_batch_1.bin", cifar10_records({0, 1}));
  folder.write("data_batch_2.bin", cifar10_records({2}));
  folder.write("test_batch.bin", cifar10_records({3}));
  ASSERT_EQ(open_cifar10(folder.path())->info().train_images, 3);
  GetParam().spoil(folder);
  EXPECT_EQ(message_of<InputError>([&] { open_cifar10(folder.path()); }),
            fmt::format(fmt::runtime(GetParam().message), folder.path().string()));
}

INSTANTIATE_TEST_SUITE_P(Files, MalformedCifar10, testing::ValuesIn(malformed_folders()),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(OpenDataset, RefusesUnknownNamesAndAMeaninglessRoot) {
  EXPECT_EQ(message_of<InputError>([] { open_dataset({.name = "mnist"}); }),
            "data: no dataset is named 'mnist', expected one of cifar10, synthetic");
  EXPECT_EQ(message_of<InputError>([] { open_dataset({.name = "synthetic", .root = "/tmp"}); }),
            "data: synthetic images are computed, so the data root /tmp has no meaning");
  EXPECT_EQ(open_dataset({.name = "synthetic"})->info().name, "synthetic");
}

}  // namespace
}  // namespace apam::data
