// PNG files of a known size to 8-bit RGB, for image folders. stb_image decodes.
//
// stb_image grows its buffers as the file demands, ignores checksums, and reads entries that a palette lacks. So a file is
// checked first: its chunks (data/png_chunks.h), then its zlib stream, which zlib decompresses to at most the known size.
// stb_image gets the result, reverses filters and interlacing and converts to RGB.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"
#include "data/png_chunks.h"

namespace apam::data {

/// Owns memory that is reused by every image. Move-only.
class PngDecoder {
 public:
  /// For images of `shape`, which has 3 channels. All messages start with `operation`.
  PngDecoder(const char* operation, ImageShape shape);
  ~PngDecoder();
  PngDecoder(PngDecoder&&) noexcept;
  PngDecoder& operator=(PngDecoder&&) noexcept;

  /// Decodes the content `bytes` of the file `name` to `pixels` (H, W, 3). Converts as Pillow's `convert("RGB")` does:
  /// - grey is copied to the three channels; 1, 2 and 4 bits are scaled to 0 .. 255;
  /// - 16-bit grey values above 255 become 255; of other 16-bit values the upper byte remains;
  /// - a palette index becomes its entry; alpha and the chunk tRNS are ignored.
  /// Throws InputError naming the file, the rule and both values unless
  /// - the chunks are valid (read_png_chunks());
  /// - IDAT is one zlib stream that ends with it and has exactly the bytes of the image;
  /// - each row has a filter type of 0 to 4, and all palette indices have an entry.
  PngFormat decode(std::string_view name, std::span<const std::uint8_t> bytes, std::span<std::uint8_t> pixels);

 private:
  class Inflater;

  void inflate_rows(const PngFile& file, const PngChunks& chunks);
  void check_filters(const PngFile& file, const PngChunks& chunks) const;
  void wrap_rows(const PngChunks& chunks);

  const char* operation_;
  ImageShape shape_;
  std::unique_ptr<Inflater> inflater_;
  std::vector<std::uint8_t> compressed_;  // joined content of the IDAT chunks
  std::vector<std::uint8_t> rows_;        // decompressed: per row a filter type and the filtered bytes
  std::vector<std::uint8_t> wrapped_;     // a PNG file of these rows, for stb_image
};

/// Counts the images per format that had to be converted.
class PngConversions {
 public:
  void count(PngFormat format) { ++images_[format]; }

  /// One line per format other than 8-bit RGB: "12 8-bit grey images converted to RGB".
  std::vector<std::string> notes() const;

 private:
  std::map<PngFormat, std::int64_t> images_;
};

}  // namespace apam::data
