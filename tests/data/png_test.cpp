// The PNG decoder: every format, and malformed files.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "data/png_image.h"
#include "tests/data/png_picture.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

constexpr ImageShape kShape{32, 32, 3};
constexpr const char* kFile = "folder/a.png";
constexpr std::size_t kHeaderAt = 8, kDataAt = 33;  // IHDR and IDAT in an RGB file

Bytes decode(const Bytes& file, ImageShape shape = kShape) {
  Bytes pixels(shape.count(), 77);
  PngDecoder("png", shape).decode(kFile, file, pixels);
  return pixels;
}

TEST(Png, DecodesEveryFormat) {
  PngDecoder decoder("png", kShape);
  std::set<PngFormat> formats;
  for (const PngFixture& fixture : png_fixtures()) {
    SCOPED_TRACE(fixture.name);
    Bytes pixels(kShape.count(), 77);
    const PngFormat format = decoder.decode(kFile, fixture.file, pixels);
    EXPECT_EQ(format, fixture.picture.format) << to_string(format);
    EXPECT_EQ(pixels, fixture.picture.rgb());
    formats.insert(format);
  }
  EXPECT_EQ(formats.size(), 15U + 11U);  // with tRNS: all without alpha
}

TEST(Png, DecodesOtherSizes) {
  for (const auto& [width, height] : {std::pair{1, 1}, std::pair{3, 5}, std::pair{9, 2}, std::pair{200, 150}}) {
    for (const bool interlaced : {false, true}) {
      for (const PngFormat format :
           {PngFormat{PngColour::rgba, 16}, PngFormat{PngColour::grey, 1}, PngFormat{PngColour::palette, 4}}) {
        SCOPED_TRACE(fmt::format("{}x{} {} {}", width, height, to_string(format), interlaced));
        const PngPicture picture{.format = format, .interlaced = interlaced, .width = width, .height = height};
        EXPECT_EQ(decode(png_file(picture), {height, width, 3}), picture.rgb());
      }
    }
  }
}

TEST(Png, CountsConversions) {
  PngConversions conversions;
  for (int i = 0; i < 3; ++i) conversions.count({});
  EXPECT_TRUE(conversions.notes().empty());
  conversions.count({PngColour::grey, 8});
  conversions.count({PngColour::grey, 16});
  conversions.count({PngColour::grey, 8});
  conversions.count({PngColour::palette, 4, true});
  conversions.count({PngColour::rgba, 8});
  EXPECT_EQ(conversions.notes(),
            (std::vector<std::string>{"2 8-bit grey images converted to RGB",
                                      "1 16-bit grey images converted to RGB, values above 255 set to 255",
                                      "1 4-bit palette with transparency images converted to RGB, transparency ignored",
                                      "1 8-bit RGB with alpha images converted to RGB, transparency ignored"}));
}

TEST(Png, RejectsAFileThatIsCutAnywhere) {
  const Bytes file = png_file(PngPicture{});
  PngDecoder decoder("png", kShape);
  Bytes pixels(kShape.count());
  for (std::size_t size = 0; size < file.size(); ++size) {
    const Bytes start(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));  // a sanitizer sees reads beyond its end
    EXPECT_TRUE(throws<InputError>({"png", kFile}, [&] { decoder.decode(kFile, start, pixels); })) << size;
  }
}

TEST(Png, RejectsAFlippedBitAnywhere) {
  Bytes file = png_file(PngPicture{.format = {PngColour::palette, 8}});
  PngDecoder decoder("png", kShape);
  Bytes pixels(kShape.count());
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    file[bit / 8] = static_cast<std::uint8_t>(file[bit / 8] ^ 1U << bit % 8);
    EXPECT_TRUE(throws<InputError>({"png", kFile}, [&] { decoder.decode(kFile, file, pixels); })) << bit;
    file[bit / 8] = static_cast<std::uint8_t>(file[bit / 8] ^ 1U << bit % 8);
  }
  decoder.decode(kFile, file, pixels);
}

TEST(Png, DecodesAfterAnError) {
  PngDecoder decoder("png", kShape);
  const PngPicture picture;
  Bytes file = png_file(picture), pixels(kShape.count());
  file[kDataAt + 20] ^= 1;
  EXPECT_THROW(decoder.decode(kFile, file, pixels), InputError);
  file[kDataAt + 20] ^= 1;
  decoder.decode(kFile, file, pixels);
  EXPECT_EQ(pixels, picture.rgb());
}

TEST(Png, RequiresSpaceForThreeChannels) {
  Bytes pixels(3071);
  EXPECT_TRUE(throws<ShapeError>({"png", "3071", "3072"},
                                 [&] { PngDecoder("png", kShape).decode(kFile, png_file(PngPicture{}), pixels); }));
  EXPECT_TRUE(throws<ShapeError>({"png", "3", "4"}, [] { PngDecoder("png", {32, 32, 4}); }));
}

/// A malformed file, and the words of the error after its name.
struct MalformedPicture {
  const char* name;
  Bytes file;
  std::vector<std::string> words;
};

void PrintTo(const MalformedPicture& malformed, std::ostream* out) { *out << malformed.name; }

/// The chunks of an RGB file, changed by `change`.
Bytes with(const std::function<void(PngChunkList&)>& change, PngFormat format = {}) {
  PngChunkList chunks = png_chunks({.format = format, .palette_entries = 4});
  change(chunks);
  return png_file(chunks);
}

/// An RGB file whose IHDR has `value` at byte `at`.
Bytes with_header(std::size_t at, std::uint8_t value, PngFormat format = {}) {
  return with([=](PngChunkList& chunks) { chunks[0].second.at(at) = value; }, format);
}

Bytes with_size(std::uint32_t width, std::uint32_t height) {
  return with([=](PngChunkList& chunks) {
    const Bytes x = big_endian(width), y = big_endian(height);
    std::copy(x.begin(), x.end(), chunks[0].second.begin());
    std::copy(y.begin(), y.end(), chunks[0].second.begin() + 4);
  });
}

/// A file of other rows or of another zlib stream.
Bytes with_rows(const Bytes& rows, PngFormat format = {}) {
  return with([&](PngChunkList& chunks) { chunks.end()[-2].second = compress(rows); }, format);
}
Bytes with_data(const std::function<void(Bytes&)>& change) {
  return with([&](PngChunkList& chunks) { change(chunks[1].second); });
}

Bytes with_byte(std::size_t at, std::uint8_t flip, Bytes file = png_file(PngPicture{})) {
  file.at(at) ^= flip;
  return file;
}

Bytes cut(std::size_t size) {
  Bytes file = png_file(PngPicture{});
  file.resize(size);
  return file;
}

std::vector<MalformedPicture> malformed_structures() {
  const Bytes good = png_file(PngPicture{});
  const std::string end = std::to_string(good.size() - 12);
  const std::string signature = "89 50 4E 47 0D 0A 1A 0A";
  Bytes long_name = good, trailing = good, huge = good, large = good;
  long_name[kDataAt + 4] = '\n';
  trailing.push_back(0);
  huge[kDataAt] = 0xFF;
  large.resize(kMaxPngBytes + 1);
  const PngChunkList chunks = png_chunks({});
  return {
      {"empty", {}, {"empty"}},
      {"text", {'h', 'e', 'l', 'l', 'o', ' ', 'w', 'o', 'r', 'l', 'd'}, {"68 65 6C 6C 6F 20 77 6F", signature}},
      {"jpeg", {0xFF, 0xD8, 0xFF, 0xE0, 0, 0x10, 'J', 'F', 'I', 'F'}, {"FF D8 FF E0", signature}},
      {"signature_with_line_feeds", {0x89, 'P', 'N', 'G', '\n', 0x1A, '\n', 0}, {"89 50 4E 47 0A", signature}},
      {"cut_in_signature", cut(4), {"89 50 4E 47", signature}},
      {"cut_after_signature", cut(8), {"8", "IEND"}},
      {"cut_in_chunk_length", cut(kHeaderAt + 3), {"3", "8", "12"}},
      {"cut_in_header", cut(kHeaderAt + 20), {"IHDR", "13", "8", "8"}},
      {"cut_in_data", cut(kDataAt + 100), {"IDAT", "33", "88"}},
      {"no_end", cut(good.size() - 12), {end, "IEND"}},
      {"cut_in_end", cut(good.size() - 1), {"11", end, "12"}},
      {"bytes_after_end", trailing, {"1", "IEND", end, "0"}},
      {"above_size_limit", large, {"1048577", "1048576"}},
      {"huge_chunk", huge, {"IDAT", "33", std::to_string(good.size() - kDataAt - 12)}},
      {"chunk_name_not_letters", long_name, {"0A 44 41 54", "33"}},
      {"crc_of_header", with_byte(kHeaderAt + 24, 1), {"CRC", "IHDR", "8"}},
      {"crc_of_data", with_byte(kDataAt + 30, 1), {"CRC", "IDAT", "33"}},
      {"crc_of_end", with_byte(good.size() - 1, 0xFF), {"AE42607D", "IEND", end, "AE426082"}},
      {"crc_of_palette", with_byte(kDataAt + 9, 1, png_file(PngPicture{.format = {PngColour::palette, 8}})), {"CRC", "PLTE"}},
      {"data_before_header", png_file({chunks[1], chunks[0], chunks[2]}), {"IDAT", "IHDR"}},
      {"two_headers", png_file({chunks[0], chunks[0], chunks[1], chunks[2]}), {"IHDR", "33"}},
      {"short_header", with([](PngChunkList& c) { c[0].second.pop_back(); }), {"IHDR", "12", "13"}},
      {"long_header", with([](PngChunkList& c) { c[0].second.push_back(0); }), {"IHDR", "14", "13"}},
      {"no_data", png_file({chunks[0], chunks[2]}), {"IEND", "33", "IDAT"}},
      {"data_interrupted", png_file({chunks[0], chunks[1], {"tEXt", {'a', 0}}, chunks[1], chunks[2]}), {"IDAT", "tEXt"}},
      {"end_with_content",
       with([](PngChunkList& c) {
         c[2].second = {1, 2};
       }),
       {"IEND", "2", "0"}},
      {"unknown_critical_chunk", png_file({chunks[0], {"ABCD", {}}, chunks[1], chunks[2]}), {"ABCD", "33", "IDAT"}},
      {"iphone_chunk", png_file({{"CgBI", {0, 0, 0, 0}}, chunks[0], chunks[1], chunks[2]}), {"CgBI", "IHDR"}},
  };
}

std::vector<MalformedPicture> malformed_headers() {
  const PngFormat palette{PngColour::palette, 8};
  const PngChunkList with_palette = png_chunks({.format = palette, .palette_entries = 4});
  return {
      {"width", with_size(33, 32), {"33x32", "32x32"}},
      {"height", with_size(32, 31), {"32x31", "32x32"}},
      {"zero_width", with_size(0, 32), {"0x32", "32x32"}},
      {"zero_height", with_size(32, 0), {"32x0", "32x32"}},
      {"bomb_dimensions", with_size(0x7FFFFFFF, 0x7FFFFFFF), {"2147483647x2147483647", "32x32"}},
      {"dimensions_modulo_2_32", with_size(0xFFFFFFE0, 32), {"4294967264x32", "32x32"}},
      {"colour_type_1", with_header(9, 1), {"colour type 1", "0, 2, 3, 4 or 6"}},
      {"colour_type_7", with_header(9, 7), {"colour type 7", "0, 2, 3, 4 or 6"}},
      {"palette_of_16_bits", with_header(8, 16, palette), {"16 bits", "1, 2, 4, 8", "3"}},
      {"rgb_of_4_bits", with_header(8, 4), {"4 bits", "8, 16", "2"}},
      {"grey_of_3_bits", with_header(8, 3, {PngColour::grey, 8}), {"3 bits", "1, 2, 4, 8, 16", "0"}},
      {"no_bits", with_header(8, 0), {"0 bits", "8, 16", "2"}},
      {"compression_method", with_header(10, 1), {"1", "0"}},
      {"filter_method", with_header(11, 64), {"64", "0"}},
      {"interlace_method", with_header(12, 2), {"2", "0 or 1"}},
      {"palette_missing", png_file({with_palette[0], with_palette[2], with_palette[3]}), {"3", "PLTE"}},
      {"palette_after_data",
       png_file({with_palette[0], with_palette[2], with_palette[1], with_palette[3]}),
       {"3", "PLTE", "IDAT", "33"}},
      {"palette_after_data_of_rgb", with([&](PngChunkList& c) { c.insert(c.begin() + 2, with_palette[1]); }), {"PLTE", "IDAT"}},
      {"two_palettes", with([](PngChunkList& c) { c.insert(c.begin() + 1, c[1]); }, palette), {"PLTE", "57", "PLTE"}},
      {"palette_of_4_bytes", with([](PngChunkList& c) { c[1].second.resize(4); }, palette), {"PLTE", "4", "3"}},
      {"palette_empty", with([](PngChunkList& c) { c[1].second.clear(); }, palette), {"PLTE", "0", "1 to 256"}},
      {"palette_of_257", with([](PngChunkList& c) { c[1].second.resize(771); }, palette), {"PLTE", "771", "1 to 256"}},
  };
}

std::vector<MalformedPicture> malformed_data() {
  const Bytes rows = PngPicture{}.rows();  // 32 * 97
  const PngPicture indexed{.format = {PngColour::palette, 8}, .palette_entries = 4, .filter = 0};
  Bytes short_rows = rows, long_rows = rows, bad_filter = rows, bad_index = indexed.rows();
  short_rows.pop_back();
  long_rows.push_back(0);
  bad_filter[97 * 5] = 5;
  bad_index[33 * 2 + 1 + 7] = 4;
  PngPicture interlaced{.interlaced = true};
  Bytes bad_interlaced = interlaced.rows();
  bad_interlaced[4 * 13] = 200;  // first row of the second pass
  PngChunkList interlaced_chunks = png_chunks(interlaced);
  interlaced_chunks[1].second = compress(bad_interlaced);
  const PngPicture indexed_4{.format = {PngColour::palette, 4}, .palette_entries = 2, .filter = 0};
  Bytes bad_index_4 = indexed_4.rows();
  bad_index_4[1] = 0x1F;
  PngChunkList chunks_4 = png_chunks(indexed_4);
  chunks_4.end()[-2].second = compress(bad_index_4);
  const std::string size = std::to_string(compress(rows).size());
  return {
      {"too_little", with_rows(short_rows), {"3103", "3104"}},
      {"too_much", with_rows(long_rows), {"3104"}},
      {"nothing", with_rows({}), {"0", "3104"}},
      {"bomb", with_rows(Bytes(1'000'000)), {"3104"}},
      {"zlib_header", with_data([](Bytes& data) { data[0] = 0x79; }), {size, "header"}},
      {"zlib_dictionary", with_data([](Bytes& data) { data[1] = 0xF9; }), {"IDAT"}},
      {"zlib_block_type", with_data([](Bytes& data) { data[2] |= 6; }), {size, "block type"}},
      {"zlib_checksum", with_data([](Bytes& data) { data.back() ^= 1; }), {size, size, "data check"}},
      {"zlib_cut", with_data([](Bytes& data) { data.resize(data.size() / 2); }), {"3104"}},
      {"zlib_cut_in_checksum", with_data([](Bytes& data) { data.pop_back(); }), {"3104", "3104"}},
      {"zlib_followed_by_bytes", with_data([](Bytes& data) { data.push_back(0); }), {size}},
      {"zlib_empty", with_data([](Bytes& data) { data.clear(); }), {"0", "0", "3104"}},
      {"filter", with_rows(bad_filter), {"5", "5", "0 to 4"}},
      {"filter_of_interlaced", png_file(interlaced_chunks), {"200", "4", "0 to 4"}},
      {"palette_index", with_rows(bad_index, indexed.format), {"4", "71", "0 to 3"}},
      {"palette_index_of_4_bits", png_file(chunks_4), {"15", "1", "0 to 1"}},
  };
}

class MalformedPng : public testing::TestWithParam<MalformedPicture> {};

TEST_P(MalformedPng, IsRejected) {
  std::vector<std::string_view> words = {"png", kFile};
  words.insert(words.end(), GetParam().words.begin(), GetParam().words.end());
  EXPECT_TRUE(throws<InputError>(words, [] { decode(GetParam().file); }));
}

INSTANTIATE_TEST_SUITE_P(Structure, MalformedPng, testing::ValuesIn(malformed_structures()), testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Header, MalformedPng, testing::ValuesIn(malformed_headers()), testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Data, MalformedPng, testing::ValuesIn(malformed_data()), testing::PrintToStringParamName());

}  // namespace
}  // namespace apam::data
