// Reads a packed data set (data/packed_header.h): labels are in memory, pixels are read on demand.
//
// Uses pread, like all readers (data/file_reader.h): the processes of a host share the file's pages either way, and a file that
// is shortened while it is mapped would end them by SIGBUS.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/file_reader.h"
#include "data/packed_header.h"
#include "data/source.h"

namespace apam::data {

/// An open packed file. Immutable and thread-safe.
class PackedFile {
 public:
  /// Verifies the header, the labels and the mean image, with their hashes. Throws InputError with the file, the rule and both
  /// values. Hashes of pixels are verified by verify_pixels() only.
  explicit PackedFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const PackedHeader& header() const { return header_; }
  std::size_t parts() const { return header_.parts.size(); }
  std::size_t part(std::string_view name) const;  ///< its index; throws InputError if there is none
  bool has_part(std::string_view name) const;

  std::span<const std::int32_t> labels(std::size_t part) const { return labels_[part]; }

  /// Image `index` of a part: `pixels` (H, W, C).
  void read(std::size_t part, std::int64_t index, std::span<std::uint8_t> pixels) const;

  /// The normalisation of the header, with the mean image if there is one.
  const Normalisation& normalisation() const { return normalisation_; }

  /// Reads the file and throws InputError if the pixels of a part have another hash than the header lists, or the gaps between
  /// sections are not zero. `progress`, if given, receives the bytes read so far.
  void verify_pixels(const std::function<void(std::uint64_t)>& progress = {}) const;

 private:
  std::vector<std::int32_t> read_labels(const PackedPart& part) const;
  void read_mean();
  void check_gap(std::uint64_t begin, std::uint64_t end) const;

  FileReader file_;
  PackedHeader header_;
  std::vector<std::vector<std::int32_t>> labels_;  // by part
  Normalisation normalisation_;
};

/// A dataset whose training images are those of the parts `train`, joined in this order. Validation and test images are those
/// of the parts "valid" (if there is one, and it is not in `train`) and "test". Throws InputError if the file lacks a part.
std::shared_ptr<const Dataset> packed_dataset(std::shared_ptr<const PackedFile> file, const std::vector<std::string>& train);

/// All parts, to be read once, front to back.
std::unique_ptr<Source> packed_source(std::shared_ptr<const PackedFile> file);

}  // namespace apam::data
