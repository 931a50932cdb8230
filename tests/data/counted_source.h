// A source of computed images, for tests of packing.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/source.h"

namespace apam::data {

/// Parts of computed images. Counts the images that it delivers.
class CountedSource final : public Source {
 public:
  explicit CountedSource(std::vector<SourcePart> parts, ImageShape shape = {4, 2, 3}) {
    info_ = {.name = "cinic10",
             .location = "/somewhere",
             .shape = shape,
             .class_names = {"a", "b", "c"},
             .parts = std::move(parts),
             .normalisation = {.subtract = {0.1F, 0.2F, 0.3F}, .divide = {0.4F, 0.5F, 0.6F}}};
  }

  void read(std::size_t part, std::int64_t first, const Consumer& consume) override {
    std::vector<std::uint8_t> pixels(info_.shape.count());
    for (std::int64_t image = first; image < info_.parts[part].images + surplus; ++image) {
      for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = byte(part, image, i);
      ++delivered;
      if (image == bad_image) {
        consume(pixels, 3);
      } else {
        consume(pixels, label(part, image));
      }
    }
  }

  std::vector<std::string> notes() const override { return {fmt::format("{} images counted", delivered)}; }

  void set_mean_image() {
    for (std::size_t i = 3; i < info_.shape.count(); ++i) info_.normalisation.subtract.push_back(static_cast<float>(i) / 64);
  }

  static std::uint8_t byte(std::size_t part, std::int64_t image, std::size_t i) {
    return static_cast<std::uint8_t>(part * 101 + static_cast<std::size_t>(image) * 7 + i * 3);
  }
  static std::int32_t label(std::size_t part, std::int64_t image) {
    return static_cast<std::int32_t>((static_cast<std::size_t>(image) + part) % 3);
  }

  std::int64_t delivered = 0, surplus = 0, bad_image = -1;
};

}  // namespace apam::data
