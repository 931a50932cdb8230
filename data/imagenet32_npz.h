// The downsampled ImageNet, 32x32 (Chrabaszcz, Loshchilov, Hutter, arXiv 1707.08819), in its official npz files.
//
//   train_data_batch_1.npz, train_data_batch_2.npz, ...
//     data    uint8 (N, 3072)   images as planes: (C, H, W) = (3, 32, 32)
//     labels  int64 (N)         1 .. 1000
//     mean    float64 (3072)    of all training images, as planes, 0 .. 255
//   val_data.npz                data and labels
#pragma once

#include <filesystem>
#include <memory>

#include "data/label_order.h"
#include "data/source.h"

namespace apam::data {

/// Opens the files in `folder`, or in its folders imagenet32, Imagenet32_train_npz and Imagenet32_val_npz. There may be any
/// number of training files and images. The parts are "train" and "test" (val_data.npz). There are always 1000 classes; those
/// in map_clsloc.txt, next to the files, are named by their WordNet id (data/label_order.h). The mean image is subtracted, as
/// mean / 255.
///
/// Labels stay in memory (2 bytes per image). Images are read in blocks of 64, after checking types, shapes and sizes; at the
/// end of each file its checksum is verified, before the last block is passed on.
///
/// Throws InputError with the file, the rule and both values if
/// - a file or member is missing, or the training files are not numbered from 1 without gaps;
/// - the archive or a header is malformed (data/zip_archive.h, data/npy.h), or a type or shape is not as above;
/// - a label is outside 1 to 1000, the labels and images differ in number, or there are none;
/// - the mean is not in [0, 255], or differs between the training files.
/// The same data as pickle files is refused, with the command that converts it.
std::unique_ptr<Source> open_imagenet32_npz(const std::filesystem::path& folder, LabelOrder order);

}  // namespace apam::data
