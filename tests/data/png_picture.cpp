#include "tests/data/png_picture.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>

namespace apam::data {
namespace {

void append(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

/// Filter `kind` of a row (PNG specification, section 9.2). `step`: bytes of a pixel.
Bytes filtered(int kind, const Bytes& row, const Bytes& above, std::size_t step) {
  Bytes out = {static_cast<std::uint8_t>(kind)};
  for (std::size_t i = 0; i < row.size(); ++i) {
    const int left = i >= step ? row[i - step] : 0, up = above[i], corner = i >= step ? above[i - step] : 0;
    const int estimate = left + up - corner;
    const int a = std::abs(estimate - left), b = std::abs(estimate - up), c = std::abs(estimate - corner);
    const std::array<int, 5> prediction = {0, left, up, (left + up) / 2, a <= b && a <= c ? left : b <= c ? up : corner};
    out.push_back(static_cast<std::uint8_t>(row[i] - prediction.at(static_cast<std::size_t>(kind))));
  }
  return out;
}

}  // namespace

int PngPicture::channels() const {
  switch (format.colour) {
    case PngColour::rgb:
      return 3;
    case PngColour::rgba:
      return 4;
    case PngColour::grey_alpha:
      return 2;
    default:
      return 1;
  }
}

unsigned PngPicture::sample(int x, int y, int c) const {
  const auto at = static_cast<unsigned>((y * width + x) * 4 + c);
  const unsigned noise = (at * 2654435761U) >> 13 ^ at;
  const unsigned smooth = static_cast<unsigned>(x * 5 + y * 3 + c * 40);  // gives the filters something to predict
  unsigned value = at % 3 == 0 ? noise : smooth;
  if (format.colour == PngColour::palette) return value % static_cast<unsigned>(std::min(palette_entries, 1 << format.depth));
  if (format.depth == 16 && at % 5 != 0) value *= 257;
  return value & ((1U << format.depth) - 1);
}

Bytes PngPicture::palette() const {
  Bytes entries;
  for (int i = 0; i < 3 * std::min(palette_entries, 1 << format.depth); ++i) {
    entries.push_back(static_cast<std::uint8_t>(i * 37 + i / 7));
  }
  return entries;
}

Bytes PngPicture::rgb() const {
  Bytes pixels;
  const Bytes entries = palette();
  const auto converted = [&](int x, int y, int c) -> unsigned {
    const bool grey = format.colour == PngColour::grey || format.colour == PngColour::grey_alpha;
    const unsigned value = sample(x, y, grey || format.colour == PngColour::palette ? 0 : c);
    if (format.colour == PngColour::palette) return entries[3 * value + static_cast<unsigned>(c)];
    if (format.depth == 16) return format.colour == PngColour::grey ? std::min(value, 255U) : value >> 8;
    return value * 255 / ((1U << format.depth) - 1);
  };
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) pixels.push_back(static_cast<std::uint8_t>(converted(x, y, c)));
    }
  }
  return pixels;
}

Bytes PngPicture::rows() const {
  struct Grid {
    int x, y, dx, dy;
  };
  const std::vector<Grid> grids = interlaced ? std::vector<Grid>{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                                                 {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
                                             : std::vector<Grid>{{0, 0, 1, 1}};
  const std::size_t step = std::max<std::size_t>(1, static_cast<std::size_t>(channels() * format.depth / 8));
  Bytes out;
  int index = 0;
  for (const Grid& grid : grids) {
    if (grid.x >= width) continue;
    Bytes above;
    for (int y = grid.y; y < height; y += grid.dy) {
      Bytes row;
      int bits = 0;  // of the row so far
      for (int x = grid.x; x < width; x += grid.dx) {
        for (int c = 0; c < channels(); ++c, bits += format.depth) {
          const unsigned value = sample(x, y, c);
          if (format.depth == 16) row.push_back(static_cast<std::uint8_t>(value >> 8));
          if (format.depth >= 8) {
            row.push_back(static_cast<std::uint8_t>(value));
          } else {
            if (bits % 8 == 0) row.push_back(0);
            row.back() = static_cast<std::uint8_t>(row.back() | value << (8 - format.depth - bits % 8));
          }
        }
      }
      above.resize(row.size());
      append(out, filtered(filter >= 0 ? filter : index++ % 5, row, above, step));
      above = row;
    }
  }
  return out;
}

PngChunkList png_chunks(const PngPicture& picture) {
  Bytes header = big_endian(static_cast<std::uint32_t>(picture.width));
  append(header, big_endian(static_cast<std::uint32_t>(picture.height)));
  append(header, {static_cast<std::uint8_t>(picture.format.depth), static_cast<std::uint8_t>(picture.format.colour), 0, 0,
                  static_cast<std::uint8_t>(picture.interlaced ? 1 : 0)});
  PngChunkList chunks = {{"IHDR", header}};
  if (picture.format.colour == PngColour::palette) chunks.emplace_back("PLTE", picture.palette());
  if (picture.format.transparency) {
    const PngColour colour = picture.format.colour;
    chunks.emplace_back("tRNS", colour == PngColour::palette ? Bytes{0, 128} : Bytes(colour == PngColour::rgb ? 6 : 2));
  }
  chunks.emplace_back("IDAT", compress(picture.rows()));
  chunks.emplace_back("IEND", Bytes{});
  return chunks;
}

Bytes png_file(const PngChunkList& chunks) {
  Bytes file = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  for (const auto& [name, content] : chunks) {
    append(file, big_endian(static_cast<std::uint32_t>(content.size())));
    const std::size_t start = file.size();
    append(file, Bytes(name.begin(), name.end()));
    append(file, content);
    const auto crc = ::crc32(0, file.data() + start, static_cast<uInt>(file.size() - start));
    append(file, big_endian(static_cast<std::uint32_t>(crc)));
  }
  return file;
}

Bytes compress(const Bytes& bytes, bool gzip) {
  z_stream stream{};
  if (::deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + (gzip ? 16 : 0), 9, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2 failed");
  }
  Bytes out(::deflateBound(&stream, static_cast<uLong>(bytes.size())));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate failed");
  return out;
}

Bytes big_endian(std::uint32_t value) {
  Bytes bytes;
  for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::uint8_t>(value >> shift));
  return bytes;
}

std::vector<PngFixture> png_fixtures() {
  std::vector<PngFixture> fixtures;
  const auto add = [&](std::string name, const PngPicture& picture) {
    fixtures.push_back({std::move(name), picture, png_file(picture)});
  };
  const std::vector<std::pair<PngColour, std::vector<int>>> formats = {{PngColour::grey, {1, 2, 4, 8, 16}},
                                                                       {PngColour::rgb, {8, 16}},
                                                                       {PngColour::palette, {1, 2, 4, 8}},
                                                                       {PngColour::grey_alpha, {8, 16}},
                                                                       {PngColour::rgba, {8, 16}}};
  const auto name_of = [](PngColour colour, int depth) {
    return fmt::format("colour{}_depth{}", static_cast<int>(colour), depth);
  };
  for (const auto& [colour, depths] : formats) {
    for (const int depth : depths) {
      const PngPicture plain{.format = {colour, depth, false}};
      const std::string name = name_of(colour, depth);
      add(name, plain);
      PngPicture picture = plain;
      picture.interlaced = true;
      add(name + "_interlaced", picture);
      for (int filter = 0; filter < 5; ++filter) {
        picture = plain;
        picture.filter = filter;
        add(fmt::format("{}_filter{}", name, filter), picture);
      }
      if (colour == PngColour::grey_alpha || colour == PngColour::rgba) continue;  // no tRNS
      picture = plain;
      picture.format.transparency = true;
      add(name + "_transparency", picture);
    }
  }
  add("small_palette", {.format = {PngColour::palette, 8, false}, .palette_entries = 3});

  const PngPicture plain;
  PngChunkList chunks = png_chunks(plain);
  chunks.insert(chunks.begin() + 1, {{"gAMA", {0, 0, 0xB1, 0x8F}}, {"tEXt", {'a', 0, 'b'}}});
  chunks.insert(chunks.end() - 1, {"tIME", {7, 0xE4, 1, 1, 0, 0, 0}});
  fixtures.push_back({"ancillary_chunks", plain, png_file(chunks)});
  chunks = png_chunks(plain);
  const Bytes data = chunks[1].second;
  const auto third = static_cast<std::ptrdiff_t>(data.size() / 3);
  chunks[1].second = Bytes(data.begin(), data.begin() + third);
  chunks.insert(chunks.begin() + 2,
                {{"IDAT", {}}, {"IDAT", {data.begin() + third, data.end() - 1}}, {"IDAT", {data.end() - 1, data.end()}}});
  fixtures.push_back({"several_data_chunks", plain, png_file(chunks)});
  return fixtures;
}

}  // namespace apam::data
