// A data set in the form in which it is distributed, read once, front to back, to be packed (data/packed_file.h).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace apam::data {

/// One part of a data set.
struct SourcePart {
  std::string name;  ///< "train", "valid", "test"
  std::int64_t images = 0;
};

/// Known once a source is open.
struct SourceInfo {
  std::string name;      ///< as in `--data`
  std::string location;  ///< folder or file
  ImageShape shape;
  std::vector<std::string> class_names;  ///< one per class, in the order of the labels
  std::vector<SourcePart> parts;
  Normalisation normalisation;
};

class Source {
 public:
  /// Receives one image: pixels (H, W, C) and its label, 0 .. classes - 1. The pixels are valid during the call.
  using Consumer = std::function<void(std::span<const std::uint8_t> pixels, std::int32_t label)>;

  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  const SourceInfo& info() const { return info_; }

  /// Passes the images `first`, first + 1, ... of part `part` of info().parts to `consume`, in order, to the last one. Throws
  /// InputError naming file, rule and both values if an image is malformed.
  virtual void read(std::size_t part, std::int64_t first, const Consumer& consume) = 0;

  /// One line per kind of conversion done so far, with its count: "12 grey images converted to RGB".
  virtual std::vector<std::string> notes() const { return {}; }

 protected:
  Source() = default;
  SourceInfo info_;
};

}  // namespace apam::data
