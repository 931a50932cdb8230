// Malformed npz files of ImageNet32: one line each, with the file, the rule and both values.
#include <gtest/gtest.h>

#include <limits>

#include "data/imagenet32_npz.h"
#include "tests/data/npz_writer.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFirst = "train_data_batch_1.npz";
constexpr const char* kSecond = "train_data_batch_2.npz";
constexpr const char* kTest = "val_data.npz";

/// A change to a valid folder, and the words of the error after the folder.
struct MalformedNpz {
  const char* name;
  std::function<void(const TemporaryFolder&)> corrupt;
  std::vector<std::string_view> words;
};

void PrintTo(const MalformedNpz& set, std::ostream* out) { *out << set.name; }

/// Replaces the second training file by one with changed members.
template <class Change>
std::function<void(const TemporaryFolder&)> second_file(Change change, const ZipEnd& end = {}) {
  return [=](const TemporaryFolder& folder) {
    auto members = imagenet32_members({7, 8}, true, 3);
    change(members);
    folder.write(kSecond, zip(members, end));
  };
}

std::function<void(const TemporaryFolder&)> second_file_end(const ZipEnd& end) {
  return second_file([](auto&) {}, end);
}

/// Replaces the second training file by the result of `change`, of its bytes.
template <class Change>
std::function<void(const TemporaryFolder&)> second_bytes(Change change) {
  return [=](const TemporaryFolder& folder) {
    Bytes bytes = zip(imagenet32_members({7, 8}, true, 3));
    change(bytes);
    folder.write(kSecond, bytes);
  };
}

void deflate_data(std::vector<ZipMember>& members) { members[0].deflate = true; }

Bytes shortened(Bytes bytes, std::size_t by) {
  bytes.resize(bytes.size() - by);
  return bytes;
}

std::vector<MalformedNpz> malformed_archives() {
  return {
      {"truncated", second_bytes([](Bytes& bytes) { bytes.resize(4000); }), {kSecond, "end record", "4000"}},
      {"no_end_record", second_bytes([](Bytes& bytes) { bytes[bytes.size() - 22] = 'Q'; }), {kSecond, "end record"}},
      {"bytes_after_the_end", second_bytes([](Bytes& bytes) { bytes.push_back(0); }), {kSecond, "end record"}},
      {"tiny",
       [](const auto& f) {
         f.write(kSecond, {'P', 'K'});
       },
       {kSecond, "2", "22"}},
      {"empty", [](const auto& f) { f.write(kSecond, {}); }, {kSecond, "empty"}},
      {"bytes_before", second_bytes([](Bytes& bytes) { bytes.insert(bytes.begin(), 9, 0); }), {kSecond, "directory"}},
      {"bytes_missing_inside",
       second_bytes([](Bytes& bytes) { bytes.erase(bytes.begin() + 500, bytes.begin() + 510); }),
       {kSecond, "directory"}},
      {"directory_position", second_file_end({.directory_position = 77}), {kSecond, "directory", "77"}},
      {"directory_size", second_file_end({.directory_size = 2 << 20}), {kSecond, "2097152", "1048576"}},
      {"too_many_entries", second_file_end({.entries = 5000}), {kSecond, "5000", "1024"}},
      {"more_entries_than_listed", second_file_end({.entries = 4}), {kSecond, "4", "0", "46"}},
      {"fewer_entries_than_listed", second_file_end({.entries = 2}), {kSecond, "2", "0"}},
      {"zip64_end_position",
       second_file_end({.zip64 = true, .directory_position = 0xffffffffffffff00}),
       {kSecond, "18446744073709551360"}},
      {"zip64_locator_missing",
       second_bytes([](Bytes& bytes) { std::fill_n(bytes.end() - 12, 2, std::uint8_t{0xff}); }),
       {kSecond, "zip64 locator"}},
      {"zip64_size_beyond_the_file",
       second_file([](auto& m) {
         m[0].zip64_entry = true;
         m[0].stored = m[0].size = std::uint64_t{1} << 40;
       }),
       {kSecond, "data.npy", "1099511627776"}},
      {"zip64_field_short",
       second_file([](auto& m) {
         m[0].zip64_entry = true;
         m[0].zip64_bytes = 12;
       }),
       {kSecond, "stored size", "4", "8"}},
      {"zip64_sizes_differ", second_file([](auto& m) { m[0].local_size = 12345; }), {kSecond, "data.npy", "12345", "6272"}},
      {"split_archive", second_bytes([](Bytes& bytes) { bytes[bytes.size() - 14] = 2; }), {kSecond, "split", "2", "3"}},
      {"encrypted", second_file([](auto& m) { m[0].flags = 1; }), {kSecond, "data.npy", "encrypted", "0001"}},
      {"unknown_flag", second_file([](auto& m) { m[0].flags = 0x20; }), {kSecond, "data.npy", "0020"}},
      {"unknown_method", second_file([](auto& m) { m[0].method = 12; }), {kSecond, "data.npy", "12", "8"}},
      {"path_as_name", second_file([](auto& m) { m[0].name = "../data.npy"; }), {kSecond, "../data.npy"}},
      {"name_with_a_line_feed", second_file([](auto& m) { m[0].name = "da\nta.npy"; }), {kSecond, "da?ta.npy"}},
      {"repeated_name", second_file([](auto& m) { m.push_back(m[1]); }), {kSecond, "labels.npy", "once"}},
      {"local_name_differs", second_file([](auto& m) { m[0].local_name = "date.npy"; }), {kSecond, "data.npy", "date.npy"}},
      {"overlapping_entries",
       second_file([](auto& m) {
         m[1].content = m[0].content;
         m[1].local_name = m[0].name;
         m[1].name = m[0].name;
         m[1].position = 0;
       }),
       {kSecond, "data.npy", "starts"}},
      {"header_position", second_file([](auto& m) { m[0].position = 1; }), {kSecond, "data.npy", "04034b50"}},
      {"header_behind_the_directory", second_file([](auto& m) { m[0].position = 4000000000; }), {kSecond, "4000000000", "30"}},
      {"stored_sizes_differ", second_file([](auto& m) { m[0].stored = 6271; }), {kSecond, "data.npy", "6272", "6271"}},
      {"declared_size_impossible",
       second_file([](auto& m) {
         deflate_data(m);
         m[0].zip64_entry = true;
         m[0].size = std::uint64_t{1} << 50;
       }),
       {kSecond, "data.npy", "1125899906842624", "1032"}},
  };
}

std::vector<MalformedNpz> malformed_members() {
  const auto labels = [](std::int64_t label) {
    return second_file([=](auto& m) {
      Bytes values;
      put(values, 5, 8);
      put(values, static_cast<std::uint64_t>(label), 8);
      m[1].content = npy("<i8", "(2,)", values);
    });
  };
  const auto mean = [](std::size_t index, double value) {
    return second_file([=](auto& m) {
      std::vector<double> values;
      for (std::size_t i = 0; i < 3072; ++i) values.push_back(i == index ? value : mean_value(i));
      m[2].content = npy("<f8", "(3072,)", doubles(values));
    });
  };
  const auto content = [](std::size_t member, const Bytes& file) {
    return second_file([=](auto& m) { m[member].content = file; });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return {
      {"label_0", labels(0), {kSecond, "labels.npy", "1", "0", "1 to 1000"}},
      {"label_1001", labels(1001), {kSecond, "labels.npy", "1", "1001", "1 to 1000"}},
      {"label_negative", labels(-65535), {kSecond, "labels.npy", "1", "-65535", "1 to 1000"}},
      {"label_beyond_32_bits", labels(std::int64_t{1} << 32 | 5), {kSecond, "labels.npy", "4294967301", "1 to 1000"}},
      {"label_count", content(1, npy("<i8", "(3,)", Bytes(24, 1))), {kSecond, "labels.npy", "3", "2"}},
      {"labels_of_bytes", content(1, npy("|u1", "(2,)", {1, 2})), {kSecond, "labels.npy", "uint8 (2,)", "int64 (N,)"}},
      {"labels_of_floats", content(1, npy("<f8", "(2,)", Bytes(16, 0))), {kSecond, "labels.npy", "float64 (2,)", "int64 (N,)"}},
      {"labels_of_objects", content(1, npy("|O", "(2,)", Bytes(40, 0))), {kSecond, "labels.npy", "|O", "pickled"}},
      {"labels_in_a_column",
       content(1, npy("<i8", "(2, 1)", Bytes(16, 1))),
       {kSecond, "labels.npy", "int64 (2, 1)", "int64 (N,)"}},
      {"data_of_floats",
       content(0, npy("<f4", "(2, 3072)", Bytes(24576, 0))),
       {kSecond, "data.npy", "float32 (2, 3072)", "uint8 (N, 3072)"}},
      {"data_64x64",
       content(0, npy("|u1", "(2, 12288)", Bytes(24576, 0))),
       {kSecond, "data.npy", "uint8 (2, 12288)", "uint8 (N, 3072)"}},
      {"data_as_images",
       content(0, npy("|u1", "(2, 32, 32, 3)", Bytes(6144, 0))),
       {kSecond, "data.npy", "(2, 32, 32, 3)", "(N, 3072)"}},
      {"data_in_fortran_order",
       content(0, npy("|u1", "(2, 3072)", Bytes(6144, 0), 1, "True")),
       {kSecond, "data.npy", "fortran_order", "True"}},
      {"data_too_short", content(0, npy("|u1", "(2, 3072)", Bytes(6143, 0))), {kSecond, "data.npy", "6143", "6144"}},
      {"no_images", content(0, npy("|u1", "(0, 3072)", {})), {kSecond, "data.npy", "images"}},
      {"mean_missing", second_file([](auto& m) { m.pop_back(); }), {kSecond, "mean.npy", "data.npy, labels.npy"}},
      {"labels_missing", second_file([](auto& m) { m.erase(m.begin() + 1); }), {kSecond, "labels.npy", "data.npy, mean.npy"}},
      {"data_missing", second_file([](auto& m) { m.erase(m.begin()); }), {kSecond, "data.npy", "labels.npy, mean.npy"}},
      {"no_members", second_file([](auto& m) { m.clear(); }), {kSecond, "data.npy", "no entries"}},
      {"mean_as_image",
       content(2, npy("<f8", "(3, 1024)", mean_values())),
       {kSecond, "mean.npy", "float64 (3, 1024)", "float64 (3072,)"}},
      {"mean_of_integers",
       content(2, npy("<i8", "(3072,)", mean_values())),
       {kSecond, "mean.npy", "int64 (3072,)", "float64 (3072,)"}},
      {"mean_differs", mean(1025, 3.5), {kSecond, "mean.npy", "1025", "3.5", kFirst, "6.25"}},
      {"mean_above_255", mean(9, 255.5), {kSecond, "mean.npy", "9", "255.5", "255"}},
      {"mean_negative", mean(9, -1), {kSecond, "mean.npy", "9", "-1", "255"}},
      {"mean_nan", mean(9, nan), {kSecond, "mean.npy", "9", "nan", "255"}},
  };
}

std::vector<MalformedNpz> malformed_npz_folders() {
  const auto remove = [](const char* name) { return [=](const TemporaryFolder& f) { fs::remove(f.path() / name); }; };
  return {
      {"folder_missing", [](const auto& f) { fs::remove_all(f.path()); }, {"exist"}},
      {"first_file_missing", remove(kFirst), {kSecond, kFirst}},
      {"gap",
       [](const auto& f) { fs::rename(f.path() / kSecond, f.path() / "train_data_batch_3.npz"); },
       {"train_data_batch_3.npz", kSecond}},
      {"test_file_missing", remove(kTest), {kTest}},
      {"training_files_missing",
       [](const auto& f) {
         fs::remove(f.path() / kFirst);
         fs::remove(f.path() / kSecond);
       },
       {kFirst}},
      {"pickles",
       [](const auto& f) {
         fs::rename(f.path() / kFirst, f.path() / "train_data_batch_1");
         fs::remove(f.path() / kSecond);
       },
       {"train_data_batch_1", "pickle", kFirst, "python3 scripts/convert_pickle.py"}},
      {"test_pickle",
       [](const auto& f) { fs::rename(f.path() / kTest, f.path() / "val_data"); },
       {"val_data", "pickle", kTest, "python3 scripts/convert_pickle.py"}},
      {"pickle_with_the_name_of_an_npz_file",
       [](const auto& f) {
         f.write(kSecond, {0x80, 3, '}', '.'});
       },
       {kSecond, "pickle", "3", "python3 scripts/convert_pickle.py"}},
  };
}

class MalformedImagenet32 : public testing::TestWithParam<MalformedNpz> {};

TEST_P(MalformedImagenet32, IsRejected) {
  const TemporaryFolder folder;
  write_imagenet32(folder);
  ASSERT_EQ(open_imagenet32_npz(folder.path(), LabelOrder::devkit)->info().parts[0].images, 5);
  GetParam().corrupt(folder);
  std::vector<std::string_view> words = GetParam().words;
  words.insert(words.begin(), {"imagenet32", folder.path().native()});
  EXPECT_TRUE(throws<InputError>(words, [&] { open_imagenet32_npz(folder.path(), LabelOrder::devkit); }));
}

INSTANTIATE_TEST_SUITE_P(Archives, MalformedImagenet32, testing::ValuesIn(malformed_archives()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Members, MalformedImagenet32, testing::ValuesIn(malformed_members()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Folders, MalformedImagenet32, testing::ValuesIn(malformed_npz_folders()),
                         testing::PrintToStringParamName());

/// Damaged pixels are found when they are read.
class MalformedPixels : public testing::TestWithParam<MalformedNpz> {};

std::vector<MalformedNpz> malformed_pixels() {
  const auto deflated_data = [](auto change) {
    return second_file([=](auto& m) {
      deflate_data(m);
      m[0].data = deflated(m[0].content);
      change(m[0]);
    });
  };
  return {
      {"wrong_checksum", second_file([](auto& m) { m[0].crc = 0x1234abcd; }), {kSecond, "data.npy", "1234abcd"}},
      {"wrong_checksum_deflated", deflated_data([](auto& data) { data.crc = 0x1234abcd; }), {kSecond, "data.npy", "1234abcd"}},
      {"changed_byte", second_bytes([](Bytes& bytes) { bytes[3000] ^= 1; }), {kSecond, "data.npy", "CRC-32"}},
      {"truncated_deflate",
       deflated_data([](auto& data) { data.data = shortened(*data.data, 1); }),
       {kSecond, "data.npy", "truncated", "0"}},
      {"half_of_the_deflate_data",
       deflated_data([](auto& data) { data.data = shortened(*data.data, data.data->size() / 2); }),
       {kSecond, "data.npy", "truncated", "6144"}},
      {"bytes_after_the_deflate_data",
       deflated_data([](auto& data) { data.data->push_back(0); }),
       {kSecond, "data.npy", "450", "451"}},
      {"damaged_deflate",
       deflated_data([](auto& data) { std::fill_n(data.data->begin() + 200, 200, std::uint8_t{0xff}); }),
       {kSecond, "data.npy"}},
      {"content_longer_than_declared",
       deflated_data([](auto& data) {
         Bytes longer = data.content;
         longer.resize(1 << 20);
         data.data = deflated(longer);
         data.size = data.content.size();
       }),
       {kSecond, "data.npy", "6272"}},
      {"content_shorter_than_declared",
       deflated_data([](auto& data) {
         Bytes shorter = data.content;
         shorter.resize(6000);
         data.data = deflated(shorter);
       }),
       {kSecond, "data.npy", "6000", "6272"}},
  };
}

TEST_P(MalformedPixels, AreRejected) {
  const TemporaryFolder folder;
  write_imagenet32(folder);
  GetParam().corrupt(folder);
  std::vector<std::string_view> words = GetParam().words;
  words.insert(words.begin(), {"imagenet32", folder.path().native()});
  std::size_t images = 0;
  EXPECT_TRUE(throws<InputError>(words, [&] {
    const auto source = open_imagenet32_npz(folder.path(), LabelOrder::devkit);
    source->read(0, 0, [&](auto, auto) { ++images; });
  }));
  EXPECT_EQ(images, 3U) << "images of the damaged block were passed on";
}

INSTANTIATE_TEST_SUITE_P(Files, MalformedPixels, testing::ValuesIn(malformed_pixels()), testing::PrintToStringParamName());

TEST(Imagenet32Npz, ReportsAFileThatIsTruncatedAfterOpening) {
  const TemporaryFolder folder;
  write_imagenet32(folder, 150);
  const auto source = open_imagenet32_npz(folder.path(), LabelOrder::devkit);
  fs::resize_file(folder.path() / kSecond, 100000);
  EXPECT_TRUE(throws<InputError>({"imagenet32", kSecond, "100000"}, [&] { source->read(0, 0, [](auto, auto) {}); }));
}

}  // namespace
}  // namespace apam::data
