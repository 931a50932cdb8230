// The packed form of a data set: content, an interrupted writer, and errors of malformed files.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

#include "data/pack.h"
#include "data/packed_file.h"
#include "kernels/runtime/sha256.h"
#include "tests/data/counted_source.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPrefix = 80;  // bytes before the header's text

std::vector<SourcePart> three_parts() { return {{"train", 700}, {"valid", 5}, {"test", 30}}; }

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void expect_image(const Dataset& dataset, Split split, std::int64_t index, std::size_t part, std::int64_t image) {
  std::vector<std::uint8_t> scratch(dataset.info().shape.count());
  const Sample sample = dataset.read(split, index, scratch);
  EXPECT_EQ(sample.label, CountedSource::label(part, image));
  EXPECT_EQ(dataset.label(split, index), sample.label);
  for (std::size_t i = 0; i < sample.pixels.size(); ++i) ASSERT_EQ(sample.pixels[i], CountedSource::byte(part, image, i)) << i;
}

TEST(Packed, HoldsEveryImageLabelAndFactOfItsSource) {
  const TemporaryFolder folder;
  CountedSource source(three_parts());
  pack(source, folder.path() / "file", {.label_order = "devkit", .fingerprint = "f"});
  EXPECT_FALSE(fs::exists(folder.path() / "file.partial"));
  EXPECT_FALSE(fs::exists(folder.path() / "file.partial.journal"));
  const auto file = std::make_shared<const PackedFile>(folder.path() / "file");
  const PackedHeader& header = file->header();
  EXPECT_EQ(header.name, "cinic10");
  EXPECT_EQ(header.location, "/somewhere");
  EXPECT_EQ(header.fingerprint, "f");
  EXPECT_EQ(header.label_order, "devkit");
  EXPECT_EQ(header.shape, (ImageShape{4, 2, 3}));
  EXPECT_EQ(header.class_names, source.info().class_names);
  EXPECT_EQ(header.notes, (std::vector<std::string>{"735 images counted"}));
  EXPECT_EQ(file->normalisation().subtract, source.info().normalisation.subtract);
  EXPECT_EQ(file->normalisation().divide, source.info().normalisation.divide);
  file->verify_pixels();

  const auto dataset = packed_dataset(file, {"train"});
  EXPECT_EQ(dataset->info().label_order, "devkit");
  EXPECT_EQ(dataset->info().train_images, 700);
  EXPECT_EQ(dataset->info().valid_images, 5);
  EXPECT_EQ(dataset->info().test_images, 30);
  for (const int i : {0, 1, 350, 699}) expect_image(*dataset, Split::train, i, 0, i);
  expect_image(*dataset, Split::valid, 4, 1, 4);
  expect_image(*dataset, Split::test, 29, 2, 29);
}

TEST(Packed, JoinsParts) {
  const TemporaryFolder folder;
  CountedSource source(three_parts());
  pack(source, folder.path() / "file");
  const auto file = std::make_shared<const PackedFile>(folder.path() / "file");
  const auto dataset = packed_dataset(file, {"train", "valid"});
  EXPECT_EQ(dataset->info().train_images, 705);
  EXPECT_EQ(dataset->info().valid_images, 0);
  expect_image(*dataset, Split::train, 699, 0, 699);
  expect_image(*dataset, Split::train, 700, 1, 0);
  expect_image(*dataset, Split::train, 704, 1, 4);
  EXPECT_TRUE(throws<InputError>({"packed", "other", "train", "valid", "test"}, [&] { packed_dataset(file, {"other"}); }));
}

TEST(Packed, KeepsTheMeanImage) {
  const TemporaryFolder folder;
  CountedSource source({{"train", 3}, {"test", 2}});
  source.set_mean_image();
  pack(source, folder.path() / "file");
  const PackedFile file(folder.path() / "file");
  EXPECT_EQ(file.normalisation().subtract, source.info().normalisation.subtract);
  EXPECT_EQ(file.normalisation().subtract.size(), 24U);
  EXPECT_EQ(fs::file_size(folder.path() / "file"), file.header().mean->end());
}

TEST(Packed, PackingAPackedFileGivesTheSameContent) {
  const TemporaryFolder folder;
  CountedSource source(three_parts());
  pack(source, folder.path() / "first");
  const auto first = std::make_shared<const PackedFile>(folder.path() / "first");
  pack(*packed_source(first), folder.path() / "second");
  const PackedFile second(folder.path() / "second");
  EXPECT_EQ(content_sha256(first->header()), content_sha256(second.header()));
  EXPECT_EQ(second.header().notes, first->header().notes);
}

/// Thrown by a progress callback.
struct Stop {};

TEST(Packed, ContinuesAfterAnInterruption) {
  const TemporaryFolder folder;
  const auto shape = ImageShape{32, 32, 3};  // 341 images per chunk
  const std::vector<SourcePart> parts{{"train", 900}, {"test", 400}};
  CountedSource whole(parts, shape);
  pack(whole, folder.path() / "whole", {.fingerprint = "f"});

  std::int64_t done = 0;
  for (int chunk = 0; done < 1300 && chunk < 20; ++chunk) {
    CountedSource source(parts, shape);
    const std::int64_t before = done;
    bool stopped = false;
    try {
      pack(source, folder.path() / "file", {.fingerprint = "f", .progress = [&](const PackProgress& progress) {
                                              done = progress.done;
                                              EXPECT_EQ(progress.total, 1300);
                                              if (done > before) throw Stop{};  // after one more chunk
                                            }});
    } catch (const Stop&) {
      stopped = true;
    }
    EXPECT_EQ(source.delivered, done - before);
    EXPECT_TRUE(stopped);
    EXPECT_FALSE(fs::exists(folder.path() / "file"));
  }
  EXPECT_EQ(done, 1300);
  CountedSource source(parts, shape);
  pack(source, folder.path() / "file", {.fingerprint = "f"});
  EXPECT_EQ(source.delivered, 0);
  EXPECT_EQ(content(folder.path() / "file"), content(folder.path() / "whole"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 2);
}

TEST(Packed, StartsFromScratchForAnotherSourceOrADamagedJournal) {
  const auto shape = ImageShape{32, 32, 3};
  const auto stop = [](const PackProgress& progress) {
    if (progress.done > 0) throw Stop{};
  };
  for (const char* kind : {"fingerprint", "parts", "journal missing", "journal damaged", "file short"}) {
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "file";
    CountedSource first({{"train", 500}, {"test", 2}}, shape);
    EXPECT_THROW(pack(first, file, {.fingerprint = "f", .progress = stop}), Stop);
    ASSERT_TRUE(fs::exists(file.native() + ".partial.journal"));
    const std::string changed = kind;
    if (changed == "journal missing") fs::remove(file.native() + ".partial.journal");
    if (changed == "journal damaged") write(file.native() + ".partial.journal", R"({"identity": 3, "done": [341, 0]})");
    if (changed == "file short") fs::resize_file(file.native() + ".partial", 8192);
    CountedSource second({{"train", changed == "parts" ? 501 : 500}, {"test", 2}}, shape);
    pack(second, file, {.fingerprint = changed == "fingerprint" ? "other" : "f"});
    EXPECT_EQ(second.delivered, changed == "parts" ? 503 : 502) << kind;
    PackedFile(file).verify_pixels();
  }
}

TEST(Packed, RefusesSourcesThatBreakTheirPromises) {
  const TemporaryFolder folder;
  CountedSource more({{"train", 3}, {"test", 2}});
  more.surplus = 1;
  EXPECT_TRUE(throws<InputError>({"pack", "cinic10", "train", "3"}, [&] { pack(more, folder.path() / "file"); }));
  CountedSource fewer({{"train", 3}, {"test", 2}});
  fewer.surplus = -1;
  EXPECT_TRUE(throws<InputError>({"pack", "cinic10", "train", "2", "3"}, [&] { pack(fewer, folder.path() / "file"); }));
  CountedSource label({{"train", 3}, {"test", 2}});
  label.bad_image = 1;
  EXPECT_TRUE(throws<InputError>({"pack", "1", "train", "3", "0 to 2"}, [&] { pack(label, folder.path() / "other"); }));
  CountedSource none({{"train", 3}, {"test", 0}});
  EXPECT_TRUE(throws<InputError>({"0", "test"}, [&] { pack(none, folder.path() / "none"); }));
  for (const char* name : {"file", "other", "none"}) EXPECT_FALSE(fs::exists(folder.path() / name));
}

TEST(Packed, RefusesPlacesThatCannotBeWritten) {
  const TemporaryFolder folder;
  CountedSource source({{"train", 3}, {"test", 2}});
  EXPECT_TRUE(throws<InputError>({"write", "not a regular file"}, [&] { pack(source, folder.path()); }));
  EXPECT_TRUE(throws<InputError>({"write", "No such file or directory"}, [&] { pack(source, folder.path() / "no" / "file"); }));
  CountedSource huge({{"train", 2'000'000'000}, {"test", 2}}, {1024, 1024, 3});
  EXPECT_TRUE(throws<InputError>({"pack", "bytes", "left"}, [&] { pack(huge, folder.path() / "file"); }));
}

TEST(Packed, TwoWritersTakeTurns) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  std::atomic<bool> second_waits = false, packed_again = false;
  CountedSource source({{"train", 900}, {"test", 2}}, {32, 32, 3});
  std::jthread other;
  pack(source, path, {.progress = [&](const PackProgress& progress) {
         if (progress.done == 0 || other.joinable()) return;
         other = std::jthread([&] {
           CountedSource same({{"train", 900}, {"test", 2}}, {32, 32, 3});
           pack(same, path,
                {.progress =
                     [&](const PackProgress& theirs) {
                       if (theirs.waiting) second_waits = true;
                     },
                 .is_done = [&] { return fs::exists(path); }});
           packed_again = same.delivered > 0;
         });
         EXPECT_TRUE(eventually([&] { return second_waits.load(); }));
       }});
  other.join();
  EXPECT_FALSE(packed_again);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  PackedFile(path).verify_pixels();
}

/// A change to a valid packed file, and the words of the error after the file.
struct MalformedFile {
  const char* name;
  std::function<void(std::string&)> corrupt;
  std::vector<std::string_view> words;
};

void PrintTo(const MalformedFile& file, std::ostream* out) { *out << file.name; }

/// Replaces the header's text and updates its length and hash.
void replace_text(std::string& bytes, std::string text) {
  std::uint32_t size = 0;
  std::memcpy(&size, bytes.data() + 12, sizeof(size));
  if (text.size() < size) text.resize(size, ' ');
  Sha256 hash;
  hash.add(text);
  bytes = bytes.substr(0, 16) + hash.hex() + text + bytes.substr(kPrefix + size);
  size = static_cast<std::uint32_t>(text.size());
  std::memcpy(bytes.data() + 12, &size, sizeof(size));
}

std::string text_of(const std::string& bytes) {
  std::uint32_t size = 0;
  std::memcpy(&size, bytes.data() + 12, sizeof(size));
  std::string text = bytes.substr(kPrefix, size);
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

/// Replaces the first `from` in the header's text.
std::function<void(std::string&)> edit(const std::string& from, const std::string& to) {
  return [=](std::string& bytes) {
    std::string text = text_of(bytes);
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    replace_text(bytes, text.replace(at, from.size(), to));
  };
}

std::function<void(std::string&)> set_number(std::size_t offset, std::uint32_t value) {
  return [=](std::string& bytes) { std::memcpy(bytes.data() + offset, &value, sizeof(value)); };
}

// The test file: 3 and 2 images of 4x2x3. The header takes 20480 bytes, and each section starts at a multiple of 4096:
// labels 20480, pixels 24576, labels 28672, pixels 32768, end 32816.
std::vector<MalformedFile> malformed_files() {
  return {
      {"empty", [](auto& b) { b.clear(); }, {"empty"}},
      {"magic", [](auto& b) { b[1] = 'X'; }, {"apam data pack"}},
      {"text_mode", [](auto& b) { b.erase(7, 1); }, {"apam data pack"}},
      {"only_magic", [](auto& b) { b.resize(8); }, {"8", "80"}},
      {"prefix_truncated", [](auto& b) { b.resize(79); }, {"79", "80"}},
      {"version", set_number(8, 2), {"version 2", "1"}},
      {"header_truncated", [](auto& b) { b.resize(5000); }, {"5000"}},
      {"header_unaligned", set_number(12, 1000), {"1080", "4096"}},
      {"header_huge", set_number(12, 0xfffff000U - 80), {"4294963200", "16777216"}},
      {"header_hash", [](auto& b) { b[kPrefix + 5] ^= 1; }, {"SHA-256", "header"}},
      {"not_json", [](auto& b) { replace_text(b, "{\"name\": "); }, {"JSON", "byte"}},
      {"not_an_object", [](auto& b) { replace_text(b, "[]"); }, {"array", "object"}},
      {"nested", [](auto& b) { replace_text(b, std::string(3000, '[')); }, {"nested", "4"}},
      {"key_twice", edit("{\"name\":", "{\"name\":\"a\",\"name\":"), {"key twice"}},
      {"key_missing", edit(",\"notes\":", ",\"remarks\":"), {"no notes"}},
      {"key_unknown", edit("{\"name\":", "{\"more\":1,\"name\":"), {"11", "10"}},
      {"name", edit("cinic10", "cinic 10"), {"name", "a-z"}},
      {"control_character", edit("/somewhere", "\\u001b[2J"), {"location", "control character"}},
      {"number_negative", edit("\"images\":3", "\"images\":-3"), {"images", "whole number"}},
      {"number_fraction", edit("\"images\":3", "\"images\":3.0"), {"images", "whole number"}},
      {"count_zero", edit("\"images\":3", "\"images\":0"), {"0", "train", "1"}},
      {"count_above_32_bits", edit("\"images\":3", "\"images\":4294967299"), {"4294967299", "2147483647"}},
      {"count_above_64_bits", edit("\"images\":3", "\"images\":99999999999999999999"), {"images", "whole number"}},
      {"shape_overflows", edit("[4,2,3]", "[16384,16384,16384]"), {"16384x16384x16384", "16777216"}},
      {"shape_two", edit("[4,2,3]", "[4,2]"), {"2", "3"}},
      {"shape_other", edit("[4,2,3]", "[4,4,3]"), {"pixels of train", "72", "144"}},
      {"part_twice", edit("\"name\":\"test\"", "\"name\":\"train\""), {"train", "twice"}},
      {"no_parts",
       [](auto& b) {
         std::string text = text_of(b);
         const auto begin = text.find("\"parts\":[") + 9, end = text.find("],\"subtract\"");
         replace_text(b, text.erase(begin, end - begin));
       },
       {"0 parts"}},
      {"no_classes", edit("[\"a\",\"b\",\"c\"]", "[]"), {"0 classes"}},
      {"overlap", edit("\"offset\":24576", "\"offset\":20480"), {"pixels of train", "20480", "24576", "overlap"}},
      {"gap", edit("\"offset\":28672", "\"offset\":32768"), {"labels of test", "32768", "28672", "gap"}},
      {"section_size", edit("\"bytes\":72", "\"bytes\":71"), {"pixels of train", "71", "72"}},
      {"offset_overflows", edit("\"offset\":24576", "\"offset\":18446744073709551615"), {"offset", "18446744073709551615"}},
      {"divisor_zero", edit("\"divide\":[0.4000000059604645", "\"divide\":[0"), {"divisor", "0"}},
      {"four_values", edit("\"subtract\":[", "\"subtract\":[0,"), {"subtract", "4", "3"}},
      {"divisor_overflows", edit(",0.5,", ",1e300,"), {"divisors", "float32"}},
      {"hash_malformed", edit("\"sha256\":\"", "\"sha256\":\"g"), {"SHA-256", "64"}},
      {"file_short", [](auto& b) { b.pop_back(); }, {"32815", "32816"}},
      {"file_long", [](auto& b) { b += 'x'; }, {"32817", "32816"}},
      {"label_changed", [](auto& b) { b[20480] ^= 1; }, {"SHA-256", "labels of train"}},
      {"label_above",
       [](auto& b) {
         b[20484] = 3;
         Sha256 hash;
         hash.add(std::string_view(b).substr(20480, 12));
         std::string text = text_of(b);
         text.replace(text.find("\"sha256\":\"") + 10, 64, hash.hex());
         replace_text(b, text);
       },
       {"image 1 of train", "label 3", "0 to 2"}},
  };
}

class MalformedPacked : public testing::TestWithParam<MalformedFile> {};

TEST_P(MalformedPacked, IsRejected) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  CountedSource source({{"train", 3}, {"test", 2}});
  pack(source, path);
  ASSERT_EQ(fs::file_size(path), 32816U);
  std::string bytes = content(path);
  GetParam().corrupt(bytes);
  write(path, bytes);
  std::vector<std::string_view> words = GetParam().words;
  words.insert(words.begin(), {"packed", path.native()});
  EXPECT_TRUE(throws<InputError>(words, [&] { const PackedFile file(path); }));
}

INSTANTIATE_TEST_SUITE_P(Files, MalformedPacked, testing::ValuesIn(malformed_files()),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(Packed, VerifiesPixelsAndGapsOnRequest) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  CountedSource source({{"train", 3}, {"test", 2}});
  pack(source, path);
  const std::string good = content(path);
  for (const auto& [offset, word] : {std::pair{24576, "pixels of train"}, std::pair{32815, "pixels of test"},
                                     std::pair{20492, "between two sections"}, std::pair{28671, "between two sections"}}) {
    std::string bytes = good;
    bytes[static_cast<std::size_t>(offset)] ^= 1;
    write(path, bytes);
    const PackedFile file(path);
    EXPECT_TRUE(throws<InputError>({"packed", path.native(), word}, [&] { file.verify_pixels(); }));
  }
}

TEST(Packed, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  EXPECT_TRUE(throws<InputError>({"packed", "directory"}, [&] { const PackedFile file(folder.path()); }));
  ASSERT_EQ(::mkfifo((folder.path() / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(throws<InputError>({"packed", "special file"}, [&] { const PackedFile file(folder.path() / "fifo"); }));
  EXPECT_TRUE(throws<InputError>({"packed", "No such file"}, [&] { const PackedFile file(folder.path() / "none"); }));
}

}  // namespace
}  // namespace apam::data
