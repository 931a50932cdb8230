#include "data/augmentation.h"

#include <algorithm>

#include "kernels/runtime/error.h"
#include "kernels/runtime/philox.h"

namespace apam::data {

Augmentation parse_augmentation(std::string_view text) {
  if (text == "standard") return kStandardAugmentation;
  if (text == "none") return kNoAugmentation;
  fail<InputError>("augment: '{}' is unknown, expected standard or none", text);
}

Placement draw_placement(const Augmentation& augmentation, std::uint64_t seed, std::int64_t epoch, std::int64_t image) {
  if (augmentation == kNoAugmentation) return {};
  // One stream per epoch, one block of four words per image.
  const auto words =
      Random(seed, Purpose::augmentation, static_cast<std::uint64_t>(epoch)).words(static_cast<std::uint32_t>(image));
  return placement_of(words, augmentation.padding, augmentation.flip);
}

ImageWriter::ImageWriter(ImageShape shape, const Normalisation& normalisation, int padding) : shape_(shape), padding_(padding) {
  const auto channels = static_cast<std::size_t>(shape.channels);
  const auto& subtract = normalisation.subtract;
  const auto& divide = normalisation.divide;
  const bool mean_image = subtract.size() == shape.count() && subtract.size() != channels;
  require<ShapeError>(subtract.size() == channels || mean_image,
                      "normalise: {} values to subtract, expected {} or {} for images of {}", subtract.size(), channels,
                      shape.count(), to_string(shape));
  require<ShapeError>(divide.size() == channels, "normalise: {} values to divide by, expected {} for images of {}",
                      divide.size(), channels, to_string(shape));
  require<ShapeError>(std::find(divide.begin(), divide.end(), 0.0F) == divide.end(), "normalise: a value to divide by is 0");
  subtract_stride_ = mean_image ? shape.row() : 0;
  if (mean_image) subtract_ = subtract;
  for (std::size_t i = 0; i < shape.row(); ++i) {
    if (!mean_image) subtract_.push_back(subtract[i % channels]);
    divide_.push_back(divide[i % channels]);
    border_.push_back(mean_image ? 0.0F : (0.0F - subtract[i % channels]) / divide[i % channels]);
  }
}

void ImageWriter::write(std::span<const std::uint8_t> pixels, Placement placement, std::span<float> row,
                        std::span<float> out) const {
  const auto channels = static_cast<std::ptrdiff_t>(shape_.channels);
  const auto values = static_cast<std::ptrdiff_t>(shape_.row());
  // Column x of the crop is column x + shift of the image; values first .. last-1 of a row are inside the image.
  const std::ptrdiff_t shift = placement.dx - padding_;
  const std::ptrdiff_t first = std::clamp<std::ptrdiff_t>(-shift, 0, shape_.width) * channels;
  const std::ptrdiff_t last = std::clamp<std::ptrdiff_t>(shape_.width - shift, 0, shape_.width) * channels;
  const float* divide = divide_.data();
  for (std::ptrdiff_t y = 0; y < shape_.height; ++y) {
    float* to = out.data() + y * values;
    float* crop = placement.flip ? row.data() : to;  // (W, C)
    const std::ptrdiff_t source = y + placement.dy - padding_;
    if (source < 0 || source >= shape_.height) {
      std::copy_n(border_.data(), values, to);  // symmetric: no mirroring
      continue;
    }
    const std::ptrdiff_t column = first + shift * channels;  // of the image, at the first value inside
    const std::uint8_t* from = pixels.data() + source * values + column;
    const float* subtract = subtract_.data() + source * static_cast<std::ptrdiff_t>(subtract_stride_) + column;
    float* inside = crop + first;
    std::copy_n(border_.data(), first, crop);
    for (std::ptrdiff_t i = 0; i < last - first; ++i) {  // starts at channel 0, as divide_ does
      inside[i] = (static_cast<float>(from[i]) / 255.0F - subtract[i]) / divide[i];
    }
    std::copy_n(border_.data(), values - last, crop + last);
    if (!placement.flip) continue;
    for (std::ptrdiff_t x = 0; x < shape_.width; ++x) {
      std::copy_n(crop + (shape_.width - 1 - x) * channels, channels, to + x * channels);
    }
  }
}

}  // namespace apam::data
