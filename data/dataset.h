// Labelled 8-bit images of one shape, split into training, validation and test images.
//
// Images are read one at a time, from any thread. A dataset keeps them in memory, reads them from files, or computes them. An
// image that is not in memory as (H, W, C) is written to scratch memory of the caller.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"
#include "data/pack.h"
#include "data/source.h"

namespace apam::data {

enum class Split : std::uint8_t { train, valid, test };

/// Parses "train", "valid" or "test"; nothing for any other text.
std::optional<Split> parse_split(std::string_view text);
std::string_view to_string(Split split);

/// A labelled image. `pixels` is in the dataset's memory or in the scratch memory passed to Dataset::read.
struct Sample {
  std::span<const std::uint8_t> pixels;  // (H, W, C)
  std::int32_t label = 0;                ///< 0 .. classes-1
};

/// Metadata of a dataset.
struct DatasetInfo {
  std::string name;    ///< as in `--data`
  std::string source;  ///< where the images come from, for display
  ImageShape shape;
  std::int64_t train_images = 0;
  std::int64_t valid_images = 0;  ///< few data sets have any
  std::int64_t test_images = 0;
  std::vector<std::string> class_names;  ///< one per class
  Normalisation normalisation;
  std::string content_sha256{};  ///< of a packed file (data/packed_header.h); empty: not known
  std::string label_order{};     ///< in use, as in DatasetOptions; empty: the data set has only one

  int classes() const { return static_cast<int>(class_names.size()); }
  std::int64_t images(Split split) const {
    return split == Split::train ? train_images : split == Split::valid ? valid_images : test_images;
  }
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  const DatasetInfo& info() const { return info_; }

  /// Image `index` (0 .. images(split)-1) of `split`. `scratch` (H, W, C) must outlive the result. Thread-safe. Throws
  /// InputError if the image cannot be read.
  virtual Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const = 0;

  /// The label of an image. Reads the image unless overridden.
  virtual std::int32_t label(Split split, std::int64_t index) const;

 protected:
  /// Throws InputError if the shape, the training images, the test images or the list of classes is empty.
  explicit Dataset(DatasetInfo info);

 private:
  DatasetInfo info_;
};

/// One line: "cifar10: 2500 training and 500 test images of 32x32x3 in 10 classes, from DIR".
std::string describe(const Dataset& dataset);

/// Hashes (FNV-1a, in lower-case hex), to check that processes train on the same images in the same order.
struct SplitHashes {
  std::string labels;  ///< of at most 2^24 labels, evenly spaced
  std::string pixels;  ///< of the pixels of at most 256 images, evenly spaced
};
/// Throws InputError if an image cannot be read.
SplitHashes hashes_of(const Dataset& dataset, Split split);

/// Options of computed images (data/synthetic.h).
struct SyntheticOptions {
  ImageShape shape{32, 32, 3};
  int classes = 10;
  std::int64_t train_images = 5000;
  std::int64_t test_images = 1000;
  std::uint64_t seed = 0;
};

struct DatasetOptions {
  std::string name = "cifar10";
  std::filesystem::path root{};                         ///< folder or packed file; empty: the data set's default, if it has one
  std::string train_split = "train";                    ///< parts that are the training images: "train" or "train+valid"
  std::string label_order{};                            ///< of imagenet32: "devkit" or "wnid"; empty: the order of the files
  std::filesystem::path cache{};                        ///< receives packed files of folders that are not writable; empty: none
  std::function<void(const PackProgress&)> progress{};  ///< see PackOptions
  SyntheticOptions synthetic{};
};

/// The valid DatasetOptions::name.
std::span<const std::string_view> dataset_names();

/// Opens and validates a dataset. Folders of small or compressed files are packed first (data/pack_cache.h). Throws InputError
/// for an unknown name, for missing or malformed files, and for options that the data set does not have.
std::shared_ptr<const Dataset> open_dataset(const DatasetOptions& options);

class PackedFile;

struct OpenedSource {
  std::unique_ptr<Source> source;              ///< with all parts, regardless of DatasetOptions::train_split
  std::string label_order{};                   ///< see PackOptions
  std::string fingerprint{};                   ///< see PackOptions
  std::shared_ptr<const PackedFile> packed{};  ///< if the root is a packed file
};

/// The same files, to be read once, front to back. Nothing is packed.
OpenedSource open_source(const DatasetOptions& options);

/// The size of a part of a full data set, as published.
struct OfficialPart {
  std::string_view name;
  std::int64_t images = 0;
  std::int64_t images_per_class = 0;  ///< 0: differs between classes
};

/// Empty for data sets of any size.
std::span<const OfficialPart> official_parts(std::string_view name);

}  // namespace apam::data
