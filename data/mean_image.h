// The mean image of a training set, which is subtracted from every image (NumPy file, data/npy.h).
#pragma once

#include <filesystem>
#include <vector>

#include "data/image.h"

namespace apam::data {

/// `root`/image_mean.npy, or else the file of this name one folder above. Throws InputError if there is neither.
std::filesystem::path find_mean_image(const char* operation, const std::filesystem::path& root);

/// Reads a mean image of images of `shape` as (H, W, C), in units of byte / 255 (Normalisation::subtract).
/// - Layout: the file has the shape (H, W, C), (C, H, W), or (C*H*W) in the order (C, H, W), as in the official batches.
/// - Unit: if the largest value is above 1, all are in 0 .. 255, else in 0 .. 1.
/// Throws InputError if the file has another shape, or a value that is not finite or outside 0 .. 255.
std::vector<float> read_mean_image(const char* operation, const std::filesystem::path& path, ImageShape shape);

}  // namespace apam::data
