#include "data/synthetic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "kernels/runtime/allocating.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/philox.h"

namespace apam::data {
namespace {

constexpr float kContrast = 32.0F;
constexpr int kFrequencies = 4;

// Streams of Purpose::synthetic_data: patterns by class, noise by image. The top two bits distinguish them.
constexpr std::uint64_t pattern_stream(int class_index) { return static_cast<std::uint64_t>(class_index); }
constexpr std::uint64_t noise_stream(Split split, std::int64_t index) {
  return (split == Split::train ? 1ULL << 62U : 2ULL << 62U) | static_cast<std::uint64_t>(index);
}

/// Writes the pattern of a class to `out` (H, W, C).
void draw_pattern(const Random& random, ImageShape shape, std::span<std::uint8_t> out) {
  const auto at = [&](int y, int x, int c) {
    return static_cast<std::size_t>(y) * shape.row() + static_cast<std::size_t>(x * shape.channels + c);
  };
  for (int c = 0; c < shape.channels; ++c) {
    const auto first = static_cast<std::uint64_t>(c) * 4;
    const double colour = 2.0 * random.uniform(first) - 1.0;
    const double fy = random.below(kFrequencies, first + 1);
    const double fx = random.below(kFrequencies, first + 2);
    const double phase = random.uniform(first + 3);
    for (int y = 0; y < shape.height; ++y) {
      for (int x = 0; x < shape.width; ++x) {
        const double turns = fy * y / shape.height + fx * x / shape.width + phase;
        const double value = 128.0 + kContrast * (colour + std::cos(2.0 * std::numbers::pi * turns));
        out[at(y, x, c)] = static_cast<std::uint8_t>(std::lround(value));  // in 64 .. 192
      }
    }
  }
}

class Synthetic final : public Dataset {
 public:
  Synthetic(DatasetInfo info, std::uint64_t seed) : Dataset(std::move(info)), seed_(seed), values_(this->info().shape.count()) {
    const std::size_t bytes = values_ * classes();
    patterns_ = allocating([&] { return std::vector<std::uint8_t>(bytes); },
                           "synthetic: not enough memory for the patterns of {} classes of {}, {} bytes", classes(),
                           to_string(this->info().shape), bytes);
    for (std::size_t k = 0; k < classes(); ++k) {
      const Random random(seed_, Purpose::synthetic_data, pattern_stream(static_cast<int>(k)));
      draw_pattern(random, this->info().shape, std::span(patterns_).subspan(k * values_, values_));
    }
  }

  Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const override {
    const std::int32_t label = this->label(split, index);
    const std::uint8_t* pattern = patterns_.data() + static_cast<std::size_t>(label) * values_;
    const Random random(seed_, Purpose::synthetic_data, noise_stream(split, index));
    for (std::size_t i = 0; i < values_; i += 16) {  // one Philox block has the noise of 16 values
      const auto words = random.words(static_cast<std::uint32_t>(i / 16));
      const std::size_t count = std::min<std::size_t>(16, values_ - i);
      for (std::size_t j = 0; j < count; ++j) {
        const auto noise = static_cast<int>((words[j / 4] >> (8 * (j % 4))) & 127U) - 64;
        scratch[i + j] = static_cast<std::uint8_t>(std::clamp(pattern[i + j] + noise, 0, 255));
      }
    }
    return {scratch.first(values_), label};
  }

  std::int32_t label(Split /*split*/, std::int64_t index) const override {
    return static_cast<std::int32_t>(static_cast<std::size_t>(index) % classes());
  }

 private:
  std::size_t classes() const { return info().class_names.size(); }

  std::uint64_t seed_;
  std::size_t values_;                  // per image
  std::vector<std::uint8_t> patterns_;  // (K, H, W, C)
};

}  // namespace

std::shared_ptr<const Dataset> make_synthetic(const SyntheticOptions& options) {
  constexpr double kMaxImageValues = 1U << 28U;
  const ImageShape shape = options.shape;
  const double values = static_cast<double>(shape.height) * shape.width * shape.channels;
  require<InputError>(shape.height > 0 && shape.width > 0 && shape.channels > 0 && values < kMaxImageValues,
                      "synthetic: images of {}, expected at least 1x1x1 and fewer than {:.0f} values", to_string(shape),
                      kMaxImageValues);
  constexpr std::int64_t kMaxImages = std::numeric_limits<std::int32_t>::max();  // limit of shuffled()
  require<InputError>(options.train_images <= kMaxImages && options.test_images <= kMaxImages,
                      "synthetic: {} training and {} test images, expected at most {} of each", options.train_images,
                      options.test_images, kMaxImages);
  require<InputError>(options.classes > 0, "synthetic: {} classes, expected at least 1", options.classes);

  DatasetInfo info{.name = "synthetic",
                   .source = fmt::format("seed {}", options.seed),
                   .shape = shape,
                   .train_images = options.train_images,
                   .test_images = options.test_images,
                   .class_names = {},
                   .normalisation = {}};
  info.class_names = allocating(
      [&] {
        std::vector<std::string> names;
        for (int k = 0; k < options.classes; ++k) names.push_back(fmt::format("class {}", k));
        return names;
      },
      "synthetic: not enough memory for the names of {} classes", options.classes);
  info.normalisation.subtract.assign(static_cast<std::size_t>(shape.channels), 0.5F);
  info.normalisation.divide.assign(static_cast<std::size_t>(shape.channels), 0.25F);
  return std::make_shared<Synthetic>(std::move(info), options.seed);
}

}  // namespace apam::data
