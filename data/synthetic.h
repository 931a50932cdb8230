// Computed images that a net can learn: the pattern of the image's class plus noise.
//
//   pattern[k][y][x][c] = 128 + 32 * (colour + wave),   colour = +-u,  wave = cos(2 pi (fy y / H + fx x / W + phase))
//   image[i][y][x][c]   = clamp(pattern[i mod K] + noise),  noise uniform in -64 .. 63
//
// The colour (u in [0, 1)), integer frequencies fy, fx in 0 .. 3 and phase are drawn per class and channel, the noise per
// image, with Philox under (seed, Purpose::synthetic_data). An image is a pure function of (options, split, index); only the K
// patterns are stored.
#pragma once

#include <memory>

#include "data/dataset.h"

namespace apam::data {

/// Image i has class i mod K, so any K consecutive images are balanced. Training and test images use disjoint noise.
/// Throws InputError if a size is below 1, an image has 2^28 values or more, or a split has 2^31 images or more;
/// DeviceError if there is not enough memory for the patterns.
std::shared_ptr<const Dataset> make_synthetic(const SyntheticOptions& options);

}  // namespace apam::data
