#include "data/dataset.h"

#include <algorithm>

#include "kernels/runtime/error.h"
#include "kernels/runtime/fnv1a.h"

namespace apam::data {

std::optional<Split> parse_split(std::string_view text) {
  for (const Split split : {Split::train, Split::valid, Split::test}) {
    if (to_string(split) == text) return split;
  }
  return std::nullopt;
}

std::string_view to_string(Split split) { return split == Split::train ? "train" : split == Split::valid ? "valid" : "test"; }

std::string to_string(ImageShape shape) { return fmt::format("{}x{}x{}", shape.height, shape.width, shape.channels); }

Dataset::Dataset(DatasetInfo info) : info_(std::move(info)) {
  const auto& name = info_.name;
  const ImageShape shape = info_.shape;
  require<InputError>(shape.height > 0 && shape.width > 0 && shape.channels > 0, "{}: images of {}, expected at least 1x1x1",
                      name, to_string(shape));
  require<InputError>(info_.train_images > 0 && info_.test_images > 0,
                      "{}: {} training and {} test images, expected at least one of each", name, info_.train_images,
                      info_.test_images);
  require<InputError>(!info_.class_names.empty(), "{}: 0 classes, expected at least 1", name);
}

std::string describe(const Dataset& dataset) {
  const DatasetInfo& info = dataset.info();
  const std::string valid = info.valid_images > 0 ? fmt::format(", {} validation", info.valid_images) : "";
  return fmt::format("{}: {} training{} and {} test images of {} in {} classes, from {}", info.name, info.train_images, valid,
                     info.test_images, to_string(info.shape), info.classes(), info.source);
}

std::int32_t Dataset::label(Split split, std::int64_t index) const {
  std::vector<std::uint8_t> scratch(info_.shape.count());
  return read(split, index, scratch).label;
}

SplitHashes hashes_of(const Dataset& dataset, Split split) {
  constexpr std::int64_t kMaxLabels = std::int64_t{1} << 24, kMaxImages = 256;
  const std::int64_t images = dataset.info().images(split);
  const auto step = [&](std::int64_t most) { return std::max<std::int64_t>(1, (images + most - 1) / most); };
  Fnv1a labels, pixels;
  for (std::int64_t i = 0; i < images; i += step(kMaxLabels)) {
    labels.add_bytes(static_cast<std::uint32_t>(dataset.label(split, i)), sizeof(std::uint32_t));
  }
  std::vector<std::uint8_t> scratch(dataset.info().shape.count());
  for (std::int64_t i = 0; i < images; i += step(kMaxImages)) {
    for (const std::uint8_t value : dataset.read(split, i, scratch).pixels) pixels.add(value);
  }
  return {fmt::format("{:016x}", labels.value()), fmt::format("{:016x}", pixels.value())};
}

}  // namespace apam::data
