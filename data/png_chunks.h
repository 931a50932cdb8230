// The chunks of a PNG file (W3C PNG specification, section 5), checked before any pixel is decoded.
//
//   signature | IHDR | ... | PLTE | ... | IDAT IDAT ... | ... | IEND
//   chunk = length (4 bytes, big-endian) | name (4 letters) | content | CRC-32 of name and content
//
// Ancillary chunks (lower-case first letter) are skipped; their CRC is not checked.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"

namespace apam::data {

/// Largest accepted file. A 32x32 image needs at most 9 KiB; the rest is for ancillary chunks.
inline constexpr std::size_t kMaxPngBytes = std::size_t{1} << 20;

/// Values as in the file.
enum class PngColour : std::uint8_t { grey = 0, rgb = 2, palette = 3, grey_alpha = 4, rgba = 6 };

/// The kind of pixels that a file stores.
struct PngFormat {
  PngColour colour = PngColour::rgb;
  int depth = 8;              ///< bits per channel, or per palette index: 1, 2, 4, 8 or 16
  bool transparency = false;  ///< has a chunk tRNS

  friend auto operator<=>(const PngFormat&, const PngFormat&) = default;
};

/// "8-bit grey", "4-bit palette with transparency", "16-bit RGB with alpha".
std::string to_string(PngFormat format);

/// A file in memory, and how error messages name it.
struct PngFile {
  const char* operation;  ///< first word of all messages
  std::string_view name;
  std::span<const std::uint8_t> bytes;
};

/// The content of a file whose structure is valid.
struct PngChunks {
  PngFormat format;
  bool interlaced = false;
  std::span<const std::uint8_t> palette;  ///< (entries, 3), in the file's memory; empty unless `format.colour` is palette
};

/// Checks the structure of `file` and writes the joined content of its IDAT chunks, a zlib stream, to `compressed`, whose
/// memory is reused. Throws InputError naming the rule and both values unless
/// - the file has at most kMaxPngBytes and starts with the signature;
/// - chunks lie within the file, have names of four letters, and all critical chunks have a correct CRC;
/// - IHDR comes first, once, with the width and height of `expected`, a valid pair of colour type and depth, and known methods
///   of compression, filtering and interlacing;
/// - PLTE occurs at most once, before IDAT, with 1 to 256 entries, and is there if the image needs it;
/// - there is at least one IDAT, and all of them are consecutive;
/// - IEND is empty and ends the file; there is no other critical chunk.
PngChunks read_png_chunks(const PngFile& file, ImageShape expected, std::vector<std::uint8_t>& compressed);

}  // namespace apam::data
