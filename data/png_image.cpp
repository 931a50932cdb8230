#include "data/png_image.h"

// CMake defines which parts of stb_image are compiled here.
#include <stb/stb_image.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

/// A part of the image that is stored as consecutive rows.
struct Pass {
  int height;
  std::size_t row_bytes;  // without the filter type

  std::size_t bytes() const { return static_cast<std::size_t>(height) * (1 + row_bytes); }
};

/// The whole image, or the seven passes of an interlaced one without empty ones (PNG specification, section 8.2).
struct Passes {
  std::array<Pass, 7> items;
  std::size_t count = 0;

  std::span<const Pass> all() const& { return std::span(items).first(count); }
  std::span<const Pass> all() && = delete;  // would refer to a temporary
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Pass& pass : all()) sum += pass.bytes();
    return sum;
  }
};

std::size_t channels(PngColour colour) {
  switch (colour) {
    case PngColour::grey:
    case PngColour::palette:
      return 1;
    case PngColour::grey_alpha:
      return 2;
    case PngColour::rgb:
      return 3;
    case PngColour::rgba:
      return 4;
  }
  return 0;
}

Passes passes_of(const PngChunks& chunks, ImageShape shape) {
  struct Grid {
    int x, y, dx, dy;
  };
  static constexpr std::array<Grid, 7> kAdam7 = {
      {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};
  static constexpr std::array<Grid, 1> kWhole = {{{0, 0, 1, 1}}};
  const std::size_t bits = channels(chunks.format.colour) * static_cast<std::size_t>(chunks.format.depth);
  Passes passes;
  for (const Grid& grid : chunks.interlaced ? std::span<const Grid>(kAdam7) : std::span<const Grid>(kWhole)) {
    const int width = (shape.width - grid.x + grid.dx - 1) / grid.dx, height = (shape.height - grid.y + grid.dy - 1) / grid.dy;
    if (width > 0 && height > 0) passes.items[passes.count++] = {height, (static_cast<std::size_t>(width) * bits + 7) / 8};
  }
  return passes;
}

void append_big_endian(std::vector<std::uint8_t>& bytes, std::size_t value) {
  for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

void append(std::vector<std::uint8_t>& bytes, std::string_view text) {
  for (const char c : text) bytes.push_back(static_cast<std::uint8_t>(c));
}

/// Pixels from stb_image: `channels` values of type T each.
template <class T>
using Decoded = std::unique_ptr<T[], decltype(&::stbi_image_free)>;

/// Calls `load`, stbi_load_from_memory or stbi_load_16_from_memory, for pixels of `channels` values.
template <class T>
Decoded<T> load_pixels(const PngFile& file, const std::vector<std::uint8_t>& wrapped, int channels,
                       T* (*load)(const stbi_uc*, int, int*, int*, int*, int)) {
  int width = 0, height = 0, stored = 0;
  Decoded<T> pixels(load(wrapped.data(), static_cast<int>(wrapped.size()), &width, &height, &stored, channels),
                    &::stbi_image_free);
  require<InputError>(pixels != nullptr, "{}: {} cannot be decoded: {}", file.operation, file.name, ::stbi_failure_reason());
  return pixels;
}

}  // namespace

/// A zlib stream that is set up once.
class PngDecoder::Inflater {
 public:
  Inflater() { require<DeviceError>(::inflateInit(&stream_) == Z_OK, "png: no memory for zlib"); }
  ~Inflater() { ::inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  struct Result {
    int status;  // of zlib; Z_STREAM_END: the whole stream was decompressed, and its checksum is correct
    std::size_t read, written;
    const char* message;  // of zlib, or null
  };

  /// Decompresses `from` until it ends or `to` is full.
  Result run(std::span<const std::uint8_t> from, std::span<std::uint8_t> to) {
    ::inflateReset(&stream_);
    stream_.next_in = const_cast<Bytef*>(from.data());
    stream_.avail_in = static_cast<uInt>(from.size());
    stream_.next_out = to.data();
    stream_.avail_out = static_cast<uInt>(to.size());
    const int status = ::inflate(&stream_, Z_FINISH);
    return {status, from.size() - stream_.avail_in, to.size() - stream_.avail_out, stream_.msg};
  }

 private:
  z_stream stream_{};
};

PngDecoder::PngDecoder(const char* operation, ImageShape shape)
    : operation_(operation), shape_(shape), inflater_(std::make_unique<Inflater>()) {
  require<ShapeError>(shape.channels == 3, "{}: PNG images have 3 channels when decoded, not {}", operation, shape.channels);
}
PngDecoder::~PngDecoder() = default;
PngDecoder::PngDecoder(PngDecoder&&) noexcept = default;
PngDecoder& PngDecoder::operator=(PngDecoder&&) noexcept = default;

/// compressed_ to rows_. Throws unless it is one stream of exactly the image's bytes.
void PngDecoder::inflate_rows(const PngFile& file, const PngChunks& chunks) {
  const std::size_t expected = passes_of(chunks, shape_).bytes();
  rows_.resize(expected + 1);  // space for one byte too many
  const auto result = inflater_->run(compressed_, rows_);
  const auto check = [&]<class... Args>(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    if (!condition) {
      fail<InputError>("{}: {} has {}", file.operation, file.name, fmt::format(format, std::forward<Args>(args)...));
    }
  };
  check(result.status != Z_DATA_ERROR && result.status != Z_NEED_DICT, "invalid compressed data at byte {} of {} in IDAT: {}",
        result.read, compressed_.size(), result.message != nullptr ? result.message : "preset dictionary");
  check(result.status != Z_MEM_ERROR, "compressed data of {} bytes, and no memory for zlib", compressed_.size());
  check(result.written <= expected, "compressed data of more than the {} bytes of the image", expected);
  check(result.status == Z_STREAM_END,
        "{} bytes in IDAT that end before their compressed data, after {} of {} bytes of the image", compressed_.size(),
        result.written, expected);
  check(result.written == expected, "{} bytes in its compressed data, expected {}", result.written, expected);
  check(result.read == compressed_.size(), "{} bytes in IDAT, but its compressed data ends after {}", compressed_.size(),
        result.read);
  rows_.resize(expected);
}

void PngDecoder::check_filters(const PngFile& file, const PngChunks& chunks) const {
  std::size_t at = 0, row = 0;
  const Passes passes = passes_of(chunks, shape_);
  for (const Pass& pass : passes.all()) {
    for (int y = 0; y < pass.height; ++y, ++row) {
      require<InputError>(rows_[at] <= 4, "{}: {} has filter type {} in row {}, expected 0 to 4", file.operation, file.name,
                          rows_[at], row);
      at += 1 + pass.row_bytes;
    }
  }
}

/// Writes a PNG file with rows_ in stored (uncompressed) blocks of a zlib stream. stb_image reads no checksums, so they are 0.
/// Palette images become grey: their indices are looked up here.
void PngDecoder::wrap_rows(const PngChunks& chunks) {
  constexpr std::size_t kBlock = 65535;
  const PngColour colour = chunks.format.colour == PngColour::palette ? PngColour::grey : chunks.format.colour;
  const std::size_t blocks = (rows_.size() + kBlock - 1) / kBlock;
  wrapped_.clear();
  append(wrapped_, "\x89PNG\r\n\x1A\n");
  append_big_endian(wrapped_, 13);
  append(wrapped_, "IHDR");
  append_big_endian(wrapped_, static_cast<std::size_t>(shape_.width));
  append_big_endian(wrapped_, static_cast<std::size_t>(shape_.height));
  const std::uint8_t interlaced = chunks.interlaced ? 1 : 0;
  for (const int value : {chunks.format.depth, static_cast<int>(colour), 0, 0}) {
    wrapped_.push_back(static_cast<std::uint8_t>(value));
  }
  wrapped_.push_back(interlaced);
  append_big_endian(wrapped_, 0);
  append_big_endian(wrapped_, 2 + 5 * blocks + rows_.size() + 4);
  append(wrapped_, "IDAT\x78\x01");
  for (std::size_t at = 0; at < rows_.size(); at += kBlock) {
    const std::size_t size = std::min(kBlock, rows_.size() - at);
    wrapped_.push_back(at + size == rows_.size() ? 1 : 0);
    for (const std::size_t value : {size, ~size}) {
      wrapped_.push_back(static_cast<std::uint8_t>(value));
      wrapped_.push_back(static_cast<std::uint8_t>(value >> 8));
    }
    const auto block = std::span(rows_).subspan(at, size);
    wrapped_.insert(wrapped_.end(), block.begin(), block.end());
  }
  append_big_endian(wrapped_, 0);
  append_big_endian(wrapped_, 0);
  append_big_endian(wrapped_, 0);
  append(wrapped_, "IEND");
  append_big_endian(wrapped_, 0);
}

PngFormat PngDecoder::decode(std::string_view name, std::span<const std::uint8_t> bytes, std::span<std::uint8_t> pixels) {
  require<ShapeError>(pixels.size() == shape_.count(), "{}: {} values for the pixels of {}, expected {}", operation_,
                      pixels.size(), name, shape_.count());
  const PngFile file{operation_, name, bytes};
  const PngChunks chunks = read_png_chunks(file, shape_, compressed_);
  inflate_rows(file, chunks);
  check_filters(file, chunks);
  wrap_rows(chunks);

  const std::size_t count = pixels.size() / 3;
  if (chunks.format.colour == PngColour::palette) {
    const auto grey = load_pixels(file, wrapped_, 1, &::stbi_load_from_memory);
    const std::size_t scale = chunks.format.depth < 8 ? 255U / ((1U << chunks.format.depth) - 1) : 1;  // of stb_image, for grey
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t index = grey[i] / scale;
      require<InputError>(3 * index < chunks.palette.size(), "{}: {} has palette index {} at pixel {}, expected 0 to {}",
                          operation_, name, index, i, chunks.palette.size() / 3 - 1);
      std::copy_n(chunks.palette.begin() + static_cast<std::ptrdiff_t>(3 * index), 3,
                  pixels.begin() + static_cast<std::ptrdiff_t>(3 * i));
    }
  } else if (chunks.format.colour == PngColour::grey && chunks.format.depth == 16) {
    const auto grey = load_pixels(file, wrapped_, 1, &::stbi_load_16_from_memory);
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = static_cast<std::uint8_t>(std::min<stbi_us>(grey[i], 255));
      for (std::size_t c = 0; c < 3; ++c) pixels[3 * i + c] = value;
    }
  } else {
    const auto rgb = load_pixels(file, wrapped_, 3, &::stbi_load_from_memory);
    std::copy_n(rgb.get(), pixels.size(), pixels.begin());
  }
  return chunks.format;
}

std::vector<std::string> PngConversions::notes() const {
  std::vector<std::string> lines;
  for (const auto& [format, images] : images_) {
    if (format == PngFormat{}) continue;
    const bool clipped = format.colour == PngColour::grey && format.depth == 16;
    const bool alpha = format.transparency || format.colour == PngColour::grey_alpha || format.colour == PngColour::rgba;
    lines.push_back(fmt::format("{} {} images converted to RGB{}{}", images, to_string(format),
                                clipped ? ", values above 255 set to 255" : "", alpha ? ", transparency ignored" : ""));
  }
  return lines;
}

}  // namespace apam::data
