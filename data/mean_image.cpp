#include "data/mean_image.h"

#include <algorithm>
#include <cstdint>
#include <system_error>

#include "data/npy.h"
#include "kernels/runtime/error.h"

namespace apam::data {

namespace fs = std::filesystem;

fs::path find_mean_image(const char* operation, const fs::path& root) {
  constexpr const char* kFile = "image_mean.npy";
  std::error_code ignored;
  fs::path inside = root / kFile;
  // "." and names that end with '/' have no parent_path() of this meaning.
  fs::path above = root / ".." / kFile;
  if (fs::exists(inside, ignored)) return inside;
  if (fs::exists(above, ignored)) return above;
  fail<InputError>("{}: no mean image: neither {} nor {} exists", operation, inside.string(), above.string());
}

std::vector<float> read_mean_image(const char* operation, const fs::path& path, ImageShape shape) {
  const Npy file = read_npy(path);
  const auto height = static_cast<std::int64_t>(shape.height), width = static_cast<std::int64_t>(shape.width),
             channels = static_cast<std::int64_t>(shape.channels);
  const std::vector<std::int64_t> interleaved = {height, width, channels}, planar = {channels, height, width},
                                  flat = {height * width * channels};
  const auto& found = file.header.shape;
  require<InputError>(found == interleaved || found == planar || found == flat,
                      "{}: {} has shape ({}), expected ({}), ({}) or ({})", operation, path.string(), fmt::join(found, ", "),
                      fmt::join(interleaved, ", "), fmt::join(planar, ", "), flat[0]);

  const std::size_t count = shape.count(), plane = count / static_cast<std::size_t>(shape.channels);
  std::vector<double> mean(count);  // (H, W, C)
  for (std::size_t i = 0; i < count; ++i) {
    const double value = file.number(i);
    require<InputError>(value >= 0 && value <= 255, "{}: {} has the mean {} at index {}, expected 0 to 255", operation,
                        path.string(), value, i);  // also if it is not a number
    mean[found == interleaved ? i : i % plane * static_cast<std::size_t>(shape.channels) + i / plane] = value;
  }
  const double unit = *std::max_element(mean.begin(), mean.end()) > 1 ? 255 : 1;
  std::vector<float> result(count);
  std::transform(mean.begin(), mean.end(), result.begin(), [=](double value) { return static_cast<float>(value / unit); });
  return result;
}

}  // namespace apam::data
