// Writes PNG files of every format for tests, valid or with chosen faults: rows are packed, filtered, interlaced and compressed
// here, independently of data/png_image.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "data/png_chunks.h"

namespace apam::data {

using Bytes = std::vector<std::uint8_t>;

/// A PNG file to write. Samples are pseudo-random; 16-bit grey has values below and above 255.
struct PngPicture {
  PngFormat format{};
  bool interlaced = false;
  int width = 32, height = 32;
  int palette_entries = 256;  ///< at most 2^depth are used
  int filter = -1;            ///< of all rows; -1: rows use the five filters in round-robin order

  int channels() const;
  /// Channel `c` of pixel (x, y) as stored: 0 .. 2^depth - 1, or a palette index.
  unsigned sample(int x, int y, int c) const;
  /// (entries, 3)
  Bytes palette() const;
  /// The image as RGB (H, W, 3), by the rules of PngDecoder::decode.
  Bytes rgb() const;
  /// Filtered rows of the image, or of its seven passes.
  Bytes rows() const;
};

/// Name and content of each chunk.
using PngChunkList = std::vector<std::pair<std::string, Bytes>>;

/// IHDR, PLTE, tRNS, IDAT, IEND, as the format requires.
PngChunkList png_chunks(const PngPicture& picture);

/// Signature, and the chunks with lengths and CRCs.
Bytes png_file(const PngChunkList& chunks);
inline Bytes png_file(const PngPicture& picture) { return png_file(png_chunks(picture)); }

/// A zlib stream; with `gzip`, a gzip file.
Bytes compress(const Bytes& bytes, bool gzip = false);

/// `value` as 4 bytes, big-endian.
Bytes big_endian(std::uint32_t value);

/// A valid file for each format, plain and interlaced, with each filter, with transparency, ancillary chunks and several IDAT.
struct PngFixture {
  std::string name;
  PngPicture picture;
  Bytes file;
};
std::vector<PngFixture> png_fixtures();

}  // namespace apam::data
