// Labelled 8-bit images of one shape, split into training and test images.
//
// Images are read one at a time, from any thread. A dataset keeps them in memory, reads them from files, or computes them. An
// image that is not in memory as (H, W, C) is written to scratch memory of the caller.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"

namespace apam::data {

enum class Split : std::uint8_t { train, test };

/// Parses "train" or "test"; nothing for any other text.
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
  std::int64_t test_images = 0;
  std::vector<std::string> class_names;  ///< one per class
  Normalisation normalisation;

  int classes() const { return static_cast<int>(class_names.size()); }
  std::int64_t images(Split split) const { return split == Split::train ? train_images : test_images; }
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
  /// Throws InputError if the shape, a split or the list of classes is empty.
  explicit Dataset(DatasetInfo info);

 private:
  DatasetInfo info_;
};

/// One line: "cifar10: 2500 training and 500 test images of 32x32x3 in 10 classes, from DIR".
std::string describe(const Dataset& dataset);

/// A hash of the labels of a split, to check that processes train on the same images in the same order. Uses at most 2^24
/// labels, evenly spaced.
std::uint64_t hash_of_labels(const Dataset& dataset, Split split);

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
  std::filesystem::path root{};  ///< folder of the files; empty: the bundled sample (cifar10)
  SyntheticOptions synthetic{};
};

/// The valid DatasetOptions::name.
std::span<const std::string_view> dataset_names();

/// Opens and validates a dataset. Throws InputError for an unknown name and for missing or malformed files.
std::shared_ptr<const Dataset> open_dataset(const DatasetOptions& options);

}  // namespace apam::data
