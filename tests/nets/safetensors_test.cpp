// The safetensors container: round trips, and an error for every kind of malformed file.
#include "nets/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/nets/files.h"

namespace apam::nets {
namespace {

const std::array<float, 6> kFloats{1, 2, 3, 4, 5, 6};
const std::array<std::int64_t, 2> kIntegers{-7, std::int64_t{1} << 62U};

template <std::size_t N, class T>
NamedTensor named(std::string name, std::string dtype, std::vector<std::int64_t> shape, const std::array<T, N>& values) {
  return {std::move(name), std::move(dtype), std::move(shape), std::as_bytes(std::span(values))};
}

std::vector<NamedTensor> some_tensors() {
  return {named("b", "F32", {2, 3}, kFloats),
          {"scalar", "F32", {}, std::as_bytes(std::span(kFloats).first(1))},
          named("a", "I64", {2}, kIntegers),
          {"nothing", "F32", {0, 4}, {}}};
}

TEST(Safetensors, round_trip) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "t", some_tensors(), {{"format", "pt"}});
  const auto file = Safetensors::read(folder.path() / "t");
  EXPECT_EQ(file.tensors().size(), 4U);
  for (const auto& written : some_tensors()) {
    const NamedTensor* read = file.find(written.name);
    ASSERT_NE(read, nullptr) << written.name;
    EXPECT_EQ(read->dtype, written.dtype);
    EXPECT_EQ(read->shape, written.shape);
    EXPECT_TRUE(std::ranges::equal(read->bytes, written.bytes)) << written.name;
  }
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
}

TEST(Safetensors, are_written_with_aligned_data_and_an_ordered_header) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "t", some_tensors());
  const std::string bytes = read_file(folder.path() / "t");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  EXPECT_EQ(length % 8, 0U);
  EXPECT_EQ(bytes.substr(8, length).substr(0, bytes.substr(8, length).find_last_not_of(' ') + 1),
            R"({"b":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]},)"
            R"("scalar":{"dtype":"F32","shape":[],"data_offsets":[40,44]},)"
            R"("a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
            R"("nothing":{"dtype":"F32","shape":[0,4],"data_offsets":[44,44]}})");
  EXPECT_EQ(bytes.size(), 8 + length + 44);
  EXPECT_EQ(bytes.substr(8 + length, 16), std::string(reinterpret_cast<const char*>(kIntegers.data()), 16));
}

TEST(Safetensors, replace_a_file_only_when_complete) {
  const TemporaryFolder folder;
  write_file(folder.path() / "t", "old content");
  auto tensors = some_tensors();
  tensors.push_back(tensors.front());
  const auto path = (folder.path() / "t").string();
  EXPECT_TRUE(throws<InputError>({"safetensors", path, "\"b\""}, [&] { write_safetensors(path, tensors); }));
  EXPECT_EQ(read_file(folder.path() / "t"), "old content");
  write_safetensors(folder.path() / "t", some_tensors());
  EXPECT_EQ(Safetensors::read(folder.path() / "t").tensors().size(), 4U);
  const auto files = std::filesystem::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1) << "a temporary file was left";
}

TEST(Safetensors, that_cannot_be_written_are_an_error) {
  const TemporaryFolder folder;
  const auto write = [&](std::string_view name) { write_safetensors(folder.path() / name, some_tensors()); };
  EXPECT_TRUE(throws<InputError>({"missing/t", "No such file or directory"}, [&] { write("missing/t"); }));
  std::filesystem::create_directory(folder.path() / "t");
  EXPECT_TRUE(throws<InputError>({"/t", "expected a file"}, [&] { write("t"); }));
  const auto path = (folder.path() / "u").string();
  EXPECT_TRUE(throws<InputError>({"safetensors", path, "\"a\"", "\"F31\""},
                                 [&] { write_safetensors(path, std::array{named("a", "F31", {6}, kFloats)}); }));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Safetensors, may_have_a_padded_header_and_tensors_in_any_order) {
  const TemporaryFolder folder;
  write_file(folder.path() / "t", safetensors_bytes(R"({"z": {"data_offsets": [4, 8], "shape": [2, 2], "dtype": "U8"},
                                                "a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}   )",
                                                    8));
  const auto file = Safetensors::read(folder.path() / "t");
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[0].name, "a");
  EXPECT_EQ(file.tensors()[1].bytes.size(), 4U);
}

TEST(Safetensors, may_be_empty) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "t", {});
  EXPECT_TRUE(Safetensors::read(folder.path() / "t").tensors().empty());
}

using Words = std::vector<std::string_view>;

struct Malformed {
  std::string_view name;
  std::string content;
  Words words;  // of the error, after the path
};

/// One tensor "w" with this dtype, shape and offsets, over 8 bytes of data.
Malformed one_tensor(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets,
                     Words words) {
  const auto header = fmt::format(R"({{"w":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape, offsets);
  words.insert(words.begin(), "\"w\"");
  return {name, safetensors_bytes(header, 8), std::move(words)};
}

std::string length_of(std::uint64_t length) {
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes;
}

std::vector<Malformed> malformed_files() {
  const std::string good = R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const auto second = [&](std::string_view offsets) {
    return fmt::format(R"({{{},"v":{{"dtype":"F32","shape":[1],"data_offsets":{}}}}})", good, offsets);
  };
  return {
      {"empty", "", {"0", "8"}},
      {"shorter_than_a_length", "1234567", {"7", "8"}},
      {"header_truncated", length_of(100) + "{}", {"header", "100", "2"}},
      {"header_of_100_MB", length_of(100'000'001) + "{}", {"header", "100000001", "100000000"}},
      {"header_absurd", length_of(~std::uint64_t{0}) + "{}", {"header", "18446744073709551615", "100000000"}},
      {"header_of_nothing", length_of(0), {"header", "'{'", "\"\""}},
      {"not_an_object", safetensors_bytes("[1, 2]", 0), {"header", "'{'", "\"[\""}},
      {"another_format", "\x89PNG\r\n\x1a\n and so on", {"header", "727905341920923785", "100000000"}},
      {"not_json", safetensors_bytes(R"({"w": nonsense})", 0), {"header", "15", "JSON", "8"}},
      {"not_utf8", safetensors_bytes("{\"\xff\": {}}", 0), {"header", "9", "JSON", "3"}},
      {"json_truncated", safetensors_bytes("{" + good, 8), {"header", "53", "JSON", "54"}},
      {"json_followed_by_more", safetensors_bytes("{" + good + "} x", 8), {"header", "56", "JSON", "56"}},
      {"nested_too_deeply", safetensors_bytes(R"({"w":{"shape":[[1]]}})", 0), {"header", "nested", "3"}},
      {"nested_without_end", safetensors_bytes("{\"w\":" + std::string(1'000'000, '['), 0), {"header", "nested", "3"}},
      {"duplicate_name", safetensors_bytes("{" + good + "," + good + "}", 8), {"name", "\"w\""}},
      {"duplicate_field", safetensors_bytes(R"({"w":{"dtype":"F32","dtype":"F32"}})", 8), {"name", "\"dtype\""}},
      {"tensor_not_an_object", safetensors_bytes(R"({"w":7})", 0), {"\"w\"", "object", "number"}},
      {"field_missing", safetensors_bytes(R"({"w":{"dtype":"F32","shape":[2]}})", 8), {"\"w\"", "3", "data_offsets", "2"}},
      {"field_unknown",
       safetensors_bytes(R"({"w":{"dtype":"F32","shape":[2],"offsets":[0,8]}})", 8),
       {"\"w\"", "data_offsets", "\"offsets\""}},
      {"metadata_of_numbers", safetensors_bytes(R"({"__metadata__":{"epoch":3}})", 0), {"__metadata__", "\"epoch\"", "number"}},
      {"metadata_not_an_object", safetensors_bytes(R"({"__metadata__":"pt"})", 0), {"__metadata__", "object", "string"}},
      one_tensor("dtype_unknown", "\"F33\"", "[2]", "[0,8]", {"\"F33\"", "BOOL", "F64"}),
      one_tensor("dtype_not_a_string", "32", "[2]", "[0,8]", {"dtype", "number"}),
      one_tensor("shape_not_an_array", "\"F32\"", "2", "[0,8]", {"shape", "array", "number"}),
      one_tensor("shape_negative", "\"F32\"", "[-2]", "[0,8]", {"shape", "-2"}),
      one_tensor("shape_fractional", "\"F32\"", "[2.0]", "[0,8]", {"shape", "2.0"}),
      one_tensor("shape_of_strings", "\"F32\"", "[\"2\"]", "[0,8]", {"shape", "\"2\""}),
      one_tensor("shape_does_not_match_the_bytes", "\"F32\"", "[3]", "[0,8]", {"(3)", "F32", "12", "8"}),
      one_tensor("dtype_does_not_match_the_bytes", "\"I64\"", "[2]", "[0,8]", {"(2)", "I64", "16", "8"}),
      one_tensor("shape_beyond_64_bits", "\"F32\"", "[4294967296,4294967296]", "[0,8]",
                 {"(4294967296, 4294967296)", "F32", "64 bits"}),
      one_tensor("shape_that_wraps_to_the_right_size", "\"F32\"", "[4611686018427387906]", "[0,8]",
                 {"(4611686018427387906)", "F32", "64 bits"}),
      one_tensor("extent_beyond_63_bits", "\"F32\"", "[18446744073709551615]", "[0,8]",
                 {"shape", "18446744073709551615", "9223372036854775807"}),
      one_tensor("three_offsets", "\"F32\"", "[2]", "[0,4,8]", {"data_offsets", "2", "3"}),
      one_tensor("offsets_reversed", "\"F32\"", "[2]", "[8,0]", {"data_offsets", "8", "0"}),
      one_tensor("offsets_beyond_the_file", "\"F32\"", "[4]", "[0,16]", {"data_offsets", "16", "8"}),
      one_tensor("gap_at_the_start", "\"F32\"", "[1]", "[4,8]", {"4", "0"}),
      {"gap_at_the_end", safetensors_bytes(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8), {"4", "8", "4"}},
      {"overlap", safetensors_bytes(second("[4,8]"), 8), {"\"v\"", "4", "8"}},
      {"gap", safetensors_bytes(second("[12,16]"), 16), {"\"v\"", "12", "8"}},
      {"data_truncated", safetensors_bytes(second("[8,12]"), 11), {"\"v\"", "12", "11"}},
      {"trailing_bytes", safetensors_bytes(second("[8,12]"), 13), {"12", "13", "1"}},
      {"name_with_control_characters", safetensors_bytes(R"({"a\nb":7})", 0), {"\"a\\nb\"", "number"}},
  };
}

TEST(Safetensors, that_are_malformed_are_an_error) {
  const TemporaryFolder folder;
  const auto path = (folder.path() / "w.safetensors").string();
  for (const auto& file : malformed_files()) {
    write_file(path, file.content);
    Words words{"safetensors", path};
    words.insert(words.end(), file.words.begin(), file.words.end());
    EXPECT_TRUE(throws<InputError>(words, [&] { Safetensors::read(path); })) << file.name;
  }
}

TEST(Safetensors, that_are_not_a_file_are_an_error) {
  const TemporaryFolder folder;
  const auto missing = (folder.path() / "none").string();
  EXPECT_TRUE(throws<InputError>({"safetensors", missing, "not exist"}, [&] { Safetensors::read(missing); }));
  EXPECT_TRUE(throws<InputError>({"safetensors", folder.path().native(), "file"}, [&] { Safetensors::read(folder.path()); }));
}

TEST(Safetensors, that_are_truncated_anywhere_are_an_error) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "t", some_tensors());
  const std::string whole = read_file(folder.path() / "t");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_file(folder.path() / "cut", whole.substr(0, length));
    EXPECT_THROW(Safetensors::read(folder.path() / "cut"), InputError) << length;
  }
}

}  // namespace
}  // namespace apam::nets
