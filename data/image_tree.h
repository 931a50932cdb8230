// Sources over folders of PNG files: one folder per part, in it one folder per class.
//
//   ROOT/train/airplane/00001.png  ->  part "train", label 0
//
// Files of any name are read, except hidden ones (.name). Each must be a PNG file of 32x32 pixels (data/png_image.h). The
// images of a part are in bytewise order of their file names, across the classes; for equal names the lower label comes first.
// So files named by an index keep their order when a data set is exported.
//
// Folders are listed once, when the source is opened; files are opened when they are read. Errors are InputErrors that name
// file or folder, the rule and both values.
#pragma once

#include <filesystem>
#include <memory>

#include "data/source.h"

namespace apam::data {

/// CINIC-10 (Darlow et al., "CINIC-10 is not ImageNet or CIFAR-10", 2018): parts "train", "valid" (may be missing) and "test",
/// each with the folders of the ten classes. Their names, sorted, give the labels. Reads the first of `folder`,
/// `folder`/cinic10 and `folder`/CINIC-10 that has a folder train. Throws InputError if a part has other folders than the
/// classes, lacks a class, or has one without images.
std::unique_ptr<Source> open_cinic10_tree(const std::filesystem::path& folder);

/// Downsampled ImageNet (Chrabaszcz et al., "A downsampled variant of ImageNet as an alternative to the CIFAR datasets", 2017):
/// part "train", and part "test" from a folder test or val. The sorted names of the folders in train give the labels; the set
/// has 1000 classes even if train has fewer folders. Reads the first of `folder` and `folder`/imagenet32 that has a folder
/// train, and the mean image (data/mean_image.h) from image_mean.npy there or one folder above. Throws InputError if
/// - train has more than 1000 folders, or test has a folder that train lacks, or a folder has no images;
/// - there are both test and val, or neither; image_mean.npy is missing or malformed.
std::unique_ptr<Source> open_imagenet32_tree(const std::filesystem::path& folder);

}  // namespace apam::data
