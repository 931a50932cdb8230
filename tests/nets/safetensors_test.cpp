// The safetensors container: what goes in comes out, and every way of being malformed is one error of one line.
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

TEST(Safetensors, come_back_as_they_were_written) {
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

TEST(Safetensors, are_written_with_aligned_data_and_the_header_in_order) {
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

TEST(Safetensors, replace_a_file_only_when_they_are_complete) {
  const TemporaryFolder folder;
  write_file(folder.path() / "t", "what was there");
  auto tensors = some_tensors();
  tensors.push_back(tensors.front());
  EXPECT_EQ(error_of([&] { write_safetensors(folder.path() / "t", tensors); }),
            fmt::format("safetensors: {}: the name \"b\" comes twice", (folder.path() / "t").string()));
  EXPECT_EQ(read_file(folder.path() / "t"), "what was there");
  write_safetensors(folder.path() / "t", some_tensors());
  EXPECT_EQ(Safetensors::read(folder.path() / "t").tensors().size(), 4U);
  const auto files = std::filesystem::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1) << "nothing is left beside the file";
}

TEST(Safetensors, say_why_they_cannot_be_written) {
  const TemporaryFolder folder;
  const auto message = [&](std::string_view name) {
    return error_of([&] { write_safetensors(folder.path() / name, some_tensors()); });
  };
  EXPECT_TRUE(message("missing/t").ends_with(": No such file or directory")) << message("missing/t");
  std::filesystem::create_directory(folder.path() / "t");
  EXPECT_TRUE(message("t").ends_with("/t is a folder, expected a file")) << message("t");
  EXPECT_EQ(error_of([&] { write_safetensors(folder.path() / "u", std::array{named("a", "F31", {6}, kFloats)}); }),
            fmt::format("safetensors: {}: tensor \"a\" has the unknown dtype \"F31\"", (folder.path() / "u").string()));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "u"));
}

TEST(Safetensors, may_have_spaces_after_the_header_and_tensors_in_any_order) {
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

struct Malformed {
  std::string_view name;
  std::string content;
  std::string error;  // after the file's name
};

/// One tensor "w" with this dtype, shape and offsets, over 8 bytes of data.
Malformed one_tensor(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets,
                     std::string error) {
  const auto header = fmt::format(R"({{"w":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape, offsets);
  return {name, safetensors_bytes(header, 8), std::move(error)};
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
      {"empty", "", "the file has 0 bytes, the header's size alone takes 8"},
      {"shorter_than_a_length", "1234567", "the file has 7 bytes, the header's size alone takes 8"},
      {"header_truncated", length_of(100) + "{}", "the header claims 100 bytes, the file has 2 left"},
      {"header_of_100_MB", length_of(100'000'001) + "{}", "the header claims 100000001 bytes, at most 100000000 are allowed"},
      {"header_absurd", length_of(~std::uint64_t{0}) + "{}",
       "the header claims 18446744073709551615 bytes, at most 100000000 are allowed"},
      {"header_of_nothing", length_of(0), "the header must start with '{', found \"\""},
      {"not_an_object", safetensors_bytes("[1, 2]", 0), "the header must start with '{', found \"[\""},
      {"another_format", "\x89PNG\r\n\x1a\n and so on",
       "the header claims 727905341920923785 bytes, at most 100000000 are allowed"},
      {"not_json", safetensors_bytes(R"({"w": nonsense})", 0), "the header of 15 bytes is not JSON, from byte 8 on"},
      {"not_utf8", safetensors_bytes("{\"\xff\": {}}", 0), "the header of 9 bytes is not JSON, from byte 3 on"},
      {"json_truncated", safetensors_bytes("{" + good, 8), "the header of 53 bytes is not JSON, from byte 54 on"},
      {"json_followed_by_more", safetensors_bytes("{" + good + "} x", 8),
       "the header of 56 bytes is not JSON, from byte 56 on"},
      {"nested_too_deeply", safetensors_bytes(R"({"w":{"shape":[[1]]}})", 0),
       "the header is nested deeper than the format's 3 levels"},
      {"nested_without_end", safetensors_bytes("{\"w\":" + std::string(1'000'000, '['), 0),
       "the header is nested deeper than the format's 3 levels"},
      {"name_twice", safetensors_bytes("{" + good + "," + good + "}", 8), "the name \"w\" comes twice"},
      {"field_twice", safetensors_bytes(R"({"w":{"dtype":"F32","dtype":"F32"}})", 8), "the name \"dtype\" comes twice"},
      {"tensor_not_an_object", safetensors_bytes(R"({"w":7})", 0), "tensor \"w\" must be described by an object, found number"},
      {"field_missing", safetensors_bytes(R"({"w":{"dtype":"F32","shape":[2]}})", 8),
       "tensor \"w\": the 3 fields dtype, shape and data_offsets are needed, found 2"},
      {"field_unknown", safetensors_bytes(R"({"w":{"dtype":"F32","shape":[2],"offsets":[0,8]}})", 8),
       "tensor \"w\": expected the fields dtype, shape and data_offsets, found \"offsets\""},
      {"metadata_of_numbers", safetensors_bytes(R"({"__metadata__":{"epoch":3}})", 0),
       "__metadata__ \"epoch\" must be a text, found number"},
      {"metadata_not_an_object", safetensors_bytes(R"({"__metadata__":"pt"})", 0),
       "__metadata__ must be an object, found string"},
      one_tensor(
          "dtype_unknown", "\"F33\"", "[2]", "[0,8]",
          "tensor \"w\": the dtype \"F33\" is unknown; known: BOOL, U8 to U64, I8 to I64, F8_E5M2, F8_E4M3, F16, BF16, F32, "
          "F64"),
      one_tensor("dtype_not_a_text", "32", "[2]", "[0,8]", "tensor \"w\": dtype must be a text, found number"),
      one_tensor("shape_not_an_array", "\"F32\"", "2", "[0,8]", "tensor \"w\": shape must be an array, found number"),
      one_tensor("shape_negative", "\"F32\"", "[-2]", "[0,8]", "tensor \"w\": shape must hold numbers from 0 on, found -2"),
      one_tensor("shape_fractional", "\"F32\"", "[2.0]", "[0,8]", "tensor \"w\": shape must hold numbers from 0 on, found 2.0"),
      one_tensor("shape_of_texts", "\"F32\"", "[\"2\"]", "[0,8]",
                 "tensor \"w\": shape must hold numbers from 0 on, found \"2\""),
      one_tensor("shape_not_of_the_bytes", "\"F32\"", "[3]", "[0,8]",
                 "tensor \"w\": shape (3) of F32 takes 12 bytes, its offsets span 8"),
      one_tensor("dtype_not_of_the_bytes", "\"I64\"", "[2]", "[0,8]",
                 "tensor \"w\": shape (2) of I64 takes 16 bytes, its offsets span 8"),
      one_tensor("shape_beyond_64_bits", "\"F32\"", "[4294967296,4294967296]", "[0,8]",
                 "tensor \"w\": shape (4294967296, 4294967296) of F32 has more bytes than 64 bits can count"),
      one_tensor("shape_that_wraps_to_the_right_size", "\"F32\"", "[4611686018427387906]", "[0,8]",
                 "tensor \"w\": shape (4611686018427387906) of F32 has more bytes than 64 bits can count"),
      one_tensor("extent_beyond_63_bits", "\"F32\"", "[18446744073709551615]", "[0,8]",
                 "tensor \"w\": shape holds 18446744073709551615, at most 9223372036854775807 is possible"),
      one_tensor("offsets_of_three", "\"F32\"", "[2]", "[0,4,8]",
                 "tensor \"w\": data_offsets must be 2 numbers, found 3 of type array"),
      one_tensor("offsets_backwards", "\"F32\"", "[2]", "[8,0]", "tensor \"w\": its bytes begin at 8 and end at 0"),
      one_tensor("offsets_beyond_the_file", "\"F32\"", "[4]", "[0,16]",
                 "tensor \"w\": its bytes end at 16, the file has 8 bytes of data"),
      one_tensor("hole_at_the_start", "\"F32\"", "[1]", "[4,8]",
                 "tensor \"w\" begins at byte 4, but the data before it end at 0: a hole"),
      one_tensor("bytes_left_over", "\"F32\"", "[1]", "[0,4]",
                 "the tensors end at byte 4 of the data, the file has 8: 4 bytes too many"),
      {"overlap", safetensors_bytes(second("[4,8]"), 8), "tensor \"v\" begins at byte 4, inside another that ends at 8"},
      {"hole", safetensors_bytes(second("[12,16]"), 16),
       "tensor \"v\" begins at byte 12, but the data before it end at 8: a hole"},
      {"data_truncated", safetensors_bytes(second("[8,12]"), 11),
       "tensor \"v\": its bytes end at 12, the file has 11 bytes of data"},
      {"trailing_bytes", safetensors_bytes(second("[8,12]"), 13),
       "the tensors end at byte 12 of the data, the file has 13: 1 bytes too many"},
      {"name_with_control_characters", safetensors_bytes(R"({"a\nb":7})", 0),
       "tensor \"a\\nb\" must be described by an object, found number"},
  };
}

TEST(Safetensors, that_are_malformed_are_one_clear_error) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "w.safetensors";
  for (const auto& file : malformed_files()) {
    write_file(path, file.content);
    const auto message = error_of([&] { Safetensors::read(path); });
    EXPECT_EQ(message, fmt::format("safetensors: {}: {}", path.string(), file.error)) << file.name;
    EXPECT_EQ(message.find('\n'), std::string::npos) << file.name;
  }
}

TEST(Safetensors, that_are_no_file_say_so) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { Safetensors::read(folder.path() / "none"); }),
            fmt::format("safetensors: {}: there is no such file", (folder.path() / "none").string()));
  EXPECT_EQ(error_of([&] { Safetensors::read(folder.path()); }),
            fmt::format("safetensors: {}: expected a file, found something else", folder.path().string()));
}

TEST(Safetensors, cut_anywhere_are_an_error) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "t", some_tensors());
  const std::string whole = read_file(folder.path() / "t");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_file(folder.path() / "cut", whole.substr(0, length));
    EXPECT_NE(error_of([&] { Safetensors::read(folder.path() / "cut"); }), "no error") << length;
  }
}

}  // namespace
}  // namespace apam::nets
