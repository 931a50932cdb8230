#include "kernels/cuda/emulator/tensor_map.h"

#include <fmt/format.h>

#include "kernels/cuda/emulator/shadow.h"
#include "kernels/runtime/error.h"

#include <simt/tma.h>

namespace apam::kernels::cuda {
namespace {

constexpr int kChunkBytes = 16, kChunkElements = 8;

void require_data(const BFloat16* data, std::int64_t innermost) {
  require<DeviceError>(reinterpret_cast<std::uintptr_t>(data) % kChunkBytes == 0,
                       "emulator: the data of a tensor map are not aligned to {} bytes", kChunkBytes);
  require<DeviceError>(innermost > 0 && innermost % kChunkElements == 0,
                       "emulator: {} elements in the lines of a tensor map, expected a multiple of {}", innermost,
                       kChunkElements);
}

template <class Value>
void require_between(std::string_view what, Value value, Value least, Value most) {
  require<DeviceError>(value >= least && value <= most, "emulator: {} of a tensor map is {}, expected {} to {}", what, value,
                       least, most);
}

}  // namespace

inline namespace on_emulator {

TensorMap tensor_map(Device, const MatrixBox& box) {
  constexpr std::int64_t kMostSize = std::int64_t{1} << 32U;
  require_data(box.data, box.sizes[0]);
  for (const std::int64_t size : box.sizes) require_between<std::int64_t>("a size", size, 1, kMostSize);
  require_between("the number of lines", box.lines, 1, kMostBoxLines);
  return {false, box, {}};
}

TensorMap tensor_map(Device, const ImageBox& box) {
  require_data(box.data, box.c);
  for (const int size : {box.n, box.h, box.w}) require_between("a size", size, 1, 0x7FFFFFFF);
  for (const int corner : {box.lower.h, box.lower.w, box.upper.h, box.upper.w}) {
    require_between("a corner", corner, kLeastCorner, kMostCorner);
  }
  require_between("the step", box.step, 1, kMostBoxStep);
  require_between("the number of pixels", box.pixels, 1, kMostBoxPixels);
  return {true, {}, box};
}

}  // namespace on_emulator

namespace emulator {

Chunks chunks_of(const TensorMap& map, MatrixPlace at, const Site& site) {
  if (map.of_images) throw Stop{fmt::format("the load at {} has a tensor map of images", name_of(site))};
  const MatrixBox& box = map.matrix;
  Chunks chunks;
  for (std::int64_t z = at.z; z < std::int64_t{at.z} + box.lines; ++z) {
    for (std::int64_t x = at.x; x < std::int64_t{at.x} + kBoxLine; x += kChunkElements) {
      const bool inside = x >= 0 && x < box.sizes[0] && at.y >= 0 && at.y < box.sizes[1] && z >= 0 && z < box.sizes[2];
      const BFloat16* const from = inside ? box.data + (z * box.sizes[1] + at.y) * box.sizes[0] + x : nullptr;
      chunks.push_back(reinterpret_cast<const std::byte*>(from));
    }
  }
  return chunks;
}

Chunks chunks_of(const TensorMap& map, ImagePlace at, const Site& site) {
  if (!map.of_images) throw Stop{fmt::format("the load at {} has a tensor map of a matrix", name_of(site))};
  const ImageBox& box = map.image;
  for (const int offset : {at.offset_h, at.offset_w}) {
    if (offset >= 0 && offset <= kMostOffset) continue;
    throw Stop{fmt::format("the load at {} has an offset of {}, expected 0 to {}", name_of(site), offset, kMostOffset)};
  }
  Chunks chunks;
  int n = at.n, h = at.h, w = at.w;
  for (int pixel = 0; pixel < box.pixels; ++pixel) {
    const std::int64_t y = h + at.offset_h, x = w + at.offset_w;
    for (int c = at.c; c < at.c + kBoxLine; c += kChunkElements) {
      const bool inside = c >= 0 && c < box.c && x >= 0 && x < box.w && y >= 0 && y < box.h && n >= 0 && n < box.n;
      const BFloat16* const from = inside ? box.data + ((std::int64_t{n} * box.h + y) * box.w + x) * box.c + c : nullptr;
      chunks.push_back(reinterpret_cast<const std::byte*>(from));
    }
    w += box.step;
    if (w > box.w - 1 + box.upper.w) {
      w = box.lower.w;
      h += box.step;
    }
    if (h > box.h - 1 + box.upper.h) {
      h = box.lower.h;
      ++n;
    }
  }
  return chunks;
}

}  // namespace emulator
}  // namespace apam::kernels::cuda
