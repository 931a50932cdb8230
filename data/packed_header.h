// The header of a packed file (data/packed_file.h): one file with a whole data set.
//
//   byte 0    8   magic
//        8    4   format version, uint32
//       12    4   length of the text, uint32
//       16   64   SHA-256 of the text, 64 lower-case hexadecimal digits
//       80        the text: a JSON object, padded with spaces to a multiple of 4096 bytes from the start of the file
//                 sections, each from the next multiple of 4096: for each part its labels, int32 (N), and its pixels,
//                 uint8 (N, H, W, C); then the mean image, float32 (H, W, C), if there is one
//
// Numbers are little-endian. Gaps between sections are zero. The places of all sections follow from the counts; the header
// lists them anyway, and both must match, so sections cannot overlap or leave room for other content. The file ends with the
// last section.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace apam::data {

inline constexpr std::uint64_t kPackedAlignment = 4096;
inline constexpr std::size_t kMaxNotes = 64;

/// A range of the file and the SHA-256 of its bytes.
struct Section {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::string sha256{};  ///< 64 lower-case hexadecimal digits

  std::uint64_t end() const { return offset + bytes; }
};

struct PackedPart {
  std::string name;  ///< "train", "valid", "test"
  std::int64_t images = 0;
  Section labels{}, pixels{};
};

struct PackedHeader {
  std::string name;         ///< of the data set, as in `--data`
  std::string location;     ///< where the images came from, for display
  std::string fingerprint;  ///< of the files that were packed (data/pack_cache.h)
  std::string label_order;  ///< "devkit" or "wnid" for imagenet32, otherwise empty
  ImageShape shape;
  std::vector<std::string> class_names;
  std::vector<PackedPart> parts;
  Normalisation normalisation;     ///< `subtract` is empty if there is a mean image
  std::optional<Section> mean;     ///< the mean image
  std::vector<std::string> notes;  ///< conversions of the source, for display
};

/// Sets offset and size of every section. `header_bytes`: where the first section starts. Returns the size of the file.
/// Throws InputError if counts exceed the limits of the format.
std::uint64_t lay_out(PackedHeader& header, std::uint64_t header_bytes);

/// A sufficient number of bytes for encode() after hashes and up to 16 KiB of notes are added.
std::uint64_t header_space(const PackedHeader& header);

/// The first `header_bytes` bytes of the file. Control characters and invalid UTF-8 in texts are replaced.
std::string encode(const PackedHeader& header, std::uint64_t header_bytes);

/// Reads `bytes` at `offset`.
using ReadAt = std::function<void(std::uint64_t offset, std::span<std::uint8_t> bytes)>;

/// Reads and validates the header of a file of `file_bytes` bytes. Throws InputError with `path`, the rule and both values.
/// Memory is bounded by 16 MiB of text.
PackedHeader decode(const std::filesystem::path& path, std::uint64_t file_bytes, const ReadAt& read);

/// Identifies labels, classes and pixels, wherever they came from: SHA-256 of shape, class names, and name, size and hashes of
/// the parts.
std::string content_sha256(const PackedHeader& header);

}  // namespace apam::data
