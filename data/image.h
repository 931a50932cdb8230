// The shape of images and their normalisation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace apam::data {

struct ImageShape {
  int height = 0;
  int width = 0;
  int channels = 0;

  std::size_t row() const { return static_cast<std::size_t>(width) * static_cast<std::size_t>(channels); }
  std::size_t count() const { return static_cast<std::size_t>(height) * row(); }  ///< values of one image

  friend bool operator==(const ImageShape&, const ImageShape&) = default;
};

/// "32x32x3": height, width, channels.
std::string to_string(ImageShape shape);

/// x = (byte / 255 - subtract) / divide. All values are in units of byte / 255.
struct Normalisation {
  std::vector<float> subtract;  ///< (C): one value per channel; or (H, W, C): a mean image
  std::vector<float> divide;    ///< (C)
};

}  // namespace apam::data
