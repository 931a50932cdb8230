// Labelled images, split into training and test images, of one shape, as 8-bit values.
//
// A dataset hands out one image at a time and may be asked by several threads at once. Whether the images lie in memory,
// are read from files or are computed when asked for is its own affair: an image that is not at hand as (H, W, C) is written
// into scratch memory that the caller brings. Nothing is kept as float.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"

namespace apam::data {

enum class Split : std::uint8_t { train, test };

/// One labelled image. `pixels` lies in the dataset's own memory or in the scratch memory given to Dataset::read.
struct Sample {
  std::span<const std::uint8_t> pixels;  // (H, W, C)
  std::int32_t label = 0;                ///< 0 .. classes-1
};

/// What is known of a dataset before any image is read.
struct DatasetInfo {
  std::string name;    ///< as in `--data`
  std::string source;  ///< where the images come from, for people
  ImageShape shape;
  std::int64_t train_images = 0;
  std::int64_t test_images = 0;
  std::vector<std::string> class_names;  ///< one a class
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

  /// Image `index` (0 .. images(split)-1) of `split`. `scratch` has room for shape.count() bytes and must outlive the use
  /// of the answer. Safe to call from several threads. Throws InputError when the image cannot be read.
  virtual Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const = 0;

  /// The label of that image. Reads the image, unless a dataset knows better.
  virtual std::int32_t label(Split split, std::int64_t index) const;

 protected:
  /// Throws InputError when the shape, a split or the classes are empty.
  explicit Dataset(DatasetInfo info);

 private:
  DatasetInfo info_;
};

/// One line: "cifar10: 2500 training and 500 test images of 32x32x3 in 10 classes, from DIR".
std::string describe(const Dataset& dataset);

/// A hash of the labels of a split, to tell whether two processes train on the same images in the same order. Of more than
/// 2^24 images it takes as many, evenly spaced.
std::uint64_t hash_of_labels(const Dataset& dataset, Split split);

/// Images that are computed instead of read; data/synthetic.h says how.
struct SyntheticOptions {
  ImageShape shape{32, 32, 3};
  int classes = 10;
  std::int64_t train_images = 5000;
  std::int64_t test_images = 1000;
  std::uint64_t seed = 0;
};

struct DatasetOptions {
  std::string name = "cifar10";
  std::filesystem::path root{};  ///< folder of the files; empty: the sample that comes with the program (cifar10)
  SyntheticOptions synthetic{};
};

/// The names that open_dataset knows.
std::span<const std::string_view> dataset_names();

/// Opens and checks a dataset. Throws InputError for an unknown name, and for files that are missing or malformed.
std::shared_ptr<const Dataset> open_dataset(const DatasetOptions& options);

}  // namespace apam::data
