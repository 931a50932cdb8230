// Augmentation, pixel by pixel: kernels/ops/augment.h.
#pragma once

#include "kernels/ops/augment.h"
#include "kernels/runtime/philox.h"
#include "kernels/runtime/placement.h"

namespace apam::kernels::reference {

inline Placement placement(const Augment::Problem& p, const Augment::Selection& selection, std::int32_t image) {
  if (p.padding == 0 && !p.flip) return {};
  const Random random(selection.seed, Purpose::augmentation, static_cast<std::uint64_t>(selection.epoch.host()[0]));
  return placement_of(random.words(static_cast<std::uint32_t>(image)), p.padding, p.flip);
}

/// T: the type of arithmetic. y (N, H, W, C).
template <class T>
void augment(const Augment::Problem& p, const Augment::Source& source, const Augment::Selection& selection, T* y) {
  for (int i = 0; i < p.n; ++i) {
    const std::int32_t image = selection.images.host()[static_cast<std::size_t>(i)];
    const auto at = [&](int h, int w, int c) { return (static_cast<std::size_t>(h) * p.w + w) * p.c + c; };
    const Placement place = placement(p, selection, image);
    for (int r = 0; r < p.h; ++r) {
      for (int q = 0; q < p.w; ++q) {
        const int h = r + place.dy - p.padding, w = (place.flip ? p.w - 1 - q : q) + place.dx - p.padding;
        const bool inside = h >= 0 && h < p.h && w >= 0 && w < p.w;
        for (int c = 0; c < p.c; ++c) {
          T value = inside ? source.bytes.data()[static_cast<std::size_t>(image) * p.image() + at(h, w, c)] : 0;
          const bool subtracts = inside || !p.mean_image;
          if (subtracts) value = value / 255 - T{source.subtract.data()[p.mean_image ? at(h, w, c) : c]};
          y[static_cast<std::size_t>(i) * p.image() + at(r, q, c)] = value / T{source.divide.data()[c]};
        }
      }
    }
  }
}

}  // namespace apam::kernels::reference
