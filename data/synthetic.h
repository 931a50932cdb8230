// Computed images that a network can learn: every class has a pattern, every image is its class's pattern plus noise.
//
//   pattern[k][y][x][c] = 128 + 32 * (colour + wave),   colour = +-u,  wave = cos(2 pi (fy y / H + fx x / W + phase))
//   image[i][y][x][c]   = clamp(pattern[i mod K] + noise),  noise uniform in -64 .. 63
//
// with u in [0, 1), whole frequencies fy, fx in 0 .. 3 and the phase drawn for each class and channel, and the noise for each
// image, from Philox under (seed, Purpose::synthetic_data). An image is a pure function of (options, split, index): nothing is
// stored but the K patterns.
#pragma once

#include <memory>

#include "data/dataset.h"

namespace apam::data {

/// Image i has class i mod K, so that any K images in a row are balanced. Training and test noise never meet.
/// Throws InputError when a size is below 1, an image has 2^28 values or more, or a split 2^31 images or more;
/// DeviceError when there is no memory for the patterns.
std::shared_ptr<const Dataset> make_synthetic(const SyntheticOptions& options);

}  // namespace apam::data
