#include "engine/resident_images.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace apam::engine {
namespace {

constexpr std::int64_t kImagesPerCopy = 1024;

Buffer on_device(Device device, std::span<const float> values) {
  Buffer buffer(device, values.size_bytes());
  copy(ConstSpan<float>(values), buffer.as<float>());
  return buffer;
}

}  // namespace

ResidentImages::ResidentImages(Exec& exec, ResidentOptions options, const Read& read) : options_(std::move(options)) {
  const Shape& shape = options_.images;
  require<ShapeError>(shape.rank() == 4 && shape.size() > 0, "resident images: the shape must be (M, H, W, C), got {}", shape);
  const auto count = std::int64_t{shape[0]};
  const std::size_t image = shape.size() / static_cast<std::size_t>(count), channels = static_cast<std::size_t>(shape[3]);
  const std::size_t subtracted = options_.subtract.size();
  require<ShapeError>(options_.divide.size() == channels && (subtracted == channels || subtracted == image),
                      "resident images: {} values to subtract and {} to divide by, expected {} or {}, and {}", subtracted,
                      options_.divide.size(), channels, image, channels);
  const Device device = exec.device();
  bytes_ = Buffer(device, shape.size());
  labels_ = Buffer(device, static_cast<std::size_t>(count) * sizeof(std::int32_t));
  subtract_ = on_device(device, options_.subtract);
  divide_ = on_device(device, options_.divide);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(std::min(count, kImagesPerCopy)) * image);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (std::int64_t begin = 0; begin < count; begin += kImagesPerCopy) {
    const std::int64_t end = std::min(count, begin + kImagesPerCopy);
    for (std::int64_t index = begin; index < end; ++index) {
      const auto place = static_cast<std::size_t>(index - begin) * image;
      labels[static_cast<std::size_t>(index)] = read(index, std::span(pixels).subspan(place, image));
    }
    const std::size_t size = static_cast<std::size_t>(end - begin) * image;
    copy(ConstSpan<std::uint8_t>(pixels.data(), size),
         bytes_.as<std::uint8_t>().subspan(static_cast<std::size_t>(begin) * image, size));
  }
  copy(ConstSpan<std::int32_t>(std::span<const std::int32_t>(labels)), labels_.as<std::int32_t>());
}

kernels::Augment::Problem ResidentImages::problem(int rows, DType type) const {
  const Shape& shape = options_.images;
  return {.n = rows,
          .h = shape[1],
          .w = shape[2],
          .c = shape[3],
          .padding = options_.padding,
          .flip = options_.flip,
          .mean_image = options_.subtract.size() != options_.divide.size(),
          .type = type};
}

kernels::Augment::Source ResidentImages::source() const {
  return {bytes_.as<std::uint8_t>(), labels_.as<std::int32_t>(), subtract_.as<float>(), divide_.as<float>()};
}

}  // namespace apam::engine
