#include "data/png_chunks.h"

#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

constexpr std::array<std::uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
constexpr std::size_t kFrame = 12;  // bytes of a chunk besides its content: length, name, CRC
constexpr std::size_t kHeaderLength = 13;
constexpr std::size_t kMaxPalette = 256;

std::uint32_t big_endian(std::span<const std::uint8_t> bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

bool is_letter(std::uint8_t byte) { return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z'); }

struct Chunk {
  std::size_t at;         // offset in the file
  std::string_view name;  // four letters
  std::span<const std::uint8_t> content;

  bool critical() const { return name[0] < 'a'; }
};

/// Reads the chunks of a file one after the other.
class Walk {
 public:
  explicit Walk(const PngFile& file) : file_(file), at_(kSignature.size()) {
    const auto start = file.bytes.first(std::min(file.bytes.size(), kSignature.size()));
    check(!start.empty(), "is empty");
    check(std::equal(start.begin(), start.end(), kSignature.begin(), kSignature.end()),
          "starts with {:02X}, expected {:02X} of a PNG file", fmt::join(start, " "), fmt::join(kSignature, " "));
  }

  /// Throws InputError unless `condition` holds. `format` follows the file's name.
  template <class... Args>
  void check(bool condition, fmt::format_string<Args...> format, Args&&... args) const {
    if (!condition) {
      fail<InputError>("{}: {} {}", file_.operation, file_.name, fmt::format(format, std::forward<Args>(args)...));
    }
  }

  Chunk next() {
    const auto rest = file_.bytes.subspan(at_);
    check(!rest.empty(), "ends at byte {} without a chunk IEND", at_);
    check(rest.size() >= kFrame, "has {} bytes left at byte {}, a chunk needs at least {}", rest.size(), at_, kFrame);
    const auto name = rest.subspan(4, 4);
    check(std::all_of(name.begin(), name.end(), is_letter), "has a chunk named {:02X} at byte {}, expected four letters",
          fmt::join(name, " "), at_);
    const std::size_t length = big_endian(rest);
    Chunk chunk{at_, {reinterpret_cast<const char*>(name.data()), name.size()}, {}};
    check(length <= rest.size() - kFrame, "has a chunk {} of {} bytes at byte {}, only {} are left", chunk.name, length, at_,
          rest.size() - kFrame);
    chunk.content = rest.subspan(8, length);
    if (chunk.critical()) check_crc(chunk, big_endian(rest.subspan(8 + length, 4)));
    at_ += kFrame + length;
    return chunk;
  }

  std::size_t left() const { return file_.bytes.size() - at_; }

 private:
  void check_crc(const Chunk& chunk, std::uint32_t stored) const {
    const auto* name = reinterpret_cast<const Bytef*>(chunk.name.data());  // directly in front of the content
    const auto computed = static_cast<std::uint32_t>(::crc32(0, name, static_cast<uInt>(4 + chunk.content.size())));
    check(stored == computed, "has CRC {:08X} for chunk {} at byte {}, expected {:08X}", stored, chunk.name, chunk.at,
          computed);
  }

  const PngFile& file_;
  std::size_t at_;
};

/// The depths that a colour type allows. Empty: no such colour type.
std::span<const int> depths(int colour) {
  static constexpr std::array<int, 5> kAll = {1, 2, 4, 8, 16};
  switch (colour) {
    case 0:
      return kAll;
    case 3:
      return std::span(kAll).first(4);
    case 2:
    case 4:
    case 6:
      return std::span(kAll).last(2);
    default:
      return {};
  }
}

/// Colour, depth and interlacing of a valid IHDR.
PngChunks read_header(const Walk& walk, const Chunk& chunk, ImageShape expected) {
  walk.check(chunk.name == "IHDR", "begins with a chunk {}, expected IHDR", chunk.name);
  const auto content = chunk.content;
  walk.check(content.size() == kHeaderLength, "has a chunk IHDR of {} bytes, expected {}", content.size(), kHeaderLength);
  const std::uint32_t width = big_endian(content), height = big_endian(content.subspan(4));
  walk.check(std::cmp_equal(width, expected.width) && std::cmp_equal(height, expected.height),
             "has {}x{} pixels (width x height), expected {}x{}", width, height, expected.width, expected.height);
  const int depth = content[8], colour = content[9];
  const auto allowed = depths(colour);
  walk.check(!allowed.empty(), "has colour type {}, expected 0, 2, 3, 4 or 6", colour);
  walk.check(std::find(allowed.begin(), allowed.end(), depth) != allowed.end(),
             "has {} bits per channel, expected {} for colour type {}", depth, fmt::join(allowed, ", "), colour);
  walk.check(content[10] == 0, "has compression method {}, expected 0", content[10]);
  walk.check(content[11] == 0, "has filter method {}, expected 0", content[11]);
  walk.check(content[12] <= 1, "has interlace method {}, expected 0 or 1", content[12]);
  return {.format = {static_cast<PngColour>(colour), depth, false}, .interlaced = content[12] == 1, .palette = {}};
}

}  // namespace

std::string to_string(PngFormat format) {
  const auto name = [&] {
    switch (format.colour) {
      case PngColour::grey:
        return "grey";
      case PngColour::rgb:
        return "RGB";
      case PngColour::palette:
        return "palette";
      case PngColour::grey_alpha:
        return "grey with alpha";
      case PngColour::rgba:
        return "RGB with alpha";
    }
    return "";
  };
  return fmt::format("{}-bit {}{}", format.depth, name(), format.transparency ? " with transparency" : "");
}

PngChunks read_png_chunks(const PngFile& file, ImageShape expected, std::vector<std::uint8_t>& compressed) {
  Walk walk(file);
  walk.check(file.bytes.size() <= kMaxPngBytes, "has {} bytes, at most {} are accepted", file.bytes.size(), kMaxPngBytes);
  PngChunks image = read_header(walk, walk.next(), expected);
  const bool needs_palette = image.format.colour == PngColour::palette;
  std::span<const std::uint8_t> palette;
  compressed.clear();
  bool has_data = false;
  std::string_view previous = "IHDR";
  for (;;) {
    const Chunk chunk = walk.next();
    if (chunk.name == "IDAT") {
      walk.check(!has_data || previous == "IDAT", "has a chunk IDAT at byte {} after a chunk {}, expected consecutive IDAT",
                 chunk.at, previous);
      walk.check(!needs_palette || !palette.empty(), "has colour type 3, but no chunk PLTE before IDAT at byte {}", chunk.at);
      has_data = true;
      compressed.insert(compressed.end(), chunk.content.begin(), chunk.content.end());
    } else if (chunk.name == "PLTE") {
      walk.check(palette.empty() && !has_data, "has a chunk PLTE at byte {} after a chunk {}", chunk.at,
                 palette.empty() ? "IDAT" : "PLTE");
      const std::size_t size = chunk.content.size();
      walk.check(size % 3 == 0 && size > 0 && size <= 3 * kMaxPalette,
                 "has a chunk PLTE of {} bytes, expected 3 per entry, 1 to {} entries", size, kMaxPalette);
      palette = chunk.content;
    } else if (chunk.name == "IEND") {
      walk.check(has_data, "has a chunk IEND at byte {}, but no chunk IDAT", chunk.at);
      walk.check(chunk.content.empty(), "has a chunk IEND of {} bytes, expected 0", chunk.content.size());
      walk.check(walk.left() == 0, "has {} bytes after the chunk IEND at byte {}, expected 0", walk.left(), chunk.at);
      break;
    } else {
      walk.check(!chunk.critical(), "has a chunk {} at byte {}, expected PLTE, IDAT, IEND or an ancillary chunk", chunk.name,
                 chunk.at);
      if (chunk.name == "tRNS") image.format.transparency = true;
    }
    previous = chunk.name;
  }
  if (needs_palette) image.palette = palette;
  return image;
}

}  // namespace apam::data
