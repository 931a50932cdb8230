// Fashion-MNIST (Xiao et al., "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017) in IDX
// files, as in Debian's package dataset-fashion-mnist: grey images of 28x28, padded to 32x32x3 here.
//
//   images: 00 00 08 03 | count | 28 | 28 | count x 28 x 28 bytes         integers: 4 bytes, big-endian
//   labels: 00 00 08 01 | count | count bytes, 0 .. 9
#pragma once

#include <filesystem>
#include <memory>

#include "data/source.h"

namespace apam::data {

/// Where Debian's package installs the files.
inline constexpr const char* kFashionMnistFolder = "/usr/share/datasets/fashion-mnist";

/// Mean and standard deviation of all values of the padded training images, in units of byte / 255. Computed from the 60,000
/// images of Debian's package as sum(x) / n and sqrt(sum(x^2) / n - mean^2), n = 60,000 * 32 * 32 (tests/data/idx_test.cpp).
inline constexpr float kFashionMnistMean = 0.21899983F;
inline constexpr float kFashionMnistDeviation = 0.33181137F;

/// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each with or
/// without the suffix .gz, as parts "train" and "test". They are in the first of `folder`, `folder`/fashion-mnist and
/// `folder`/FashionMNIST/raw that has training images; if `folder` is empty, in kFashionMnistFolder. An image gets two black
/// pixels on each side and three equal channels. Any number of images is accepted. Throws InputError with the file, the rule
/// and both values if
/// - a file is missing, or its magic number or the size of images differs;
/// - a file has not exactly the bytes that its header announces, or the numbers of images and labels differ or are 0;
/// - a label is above 9, or compressed data is malformed (for images: when they are read).
std::unique_ptr<Source> open_fashion_mnist(const std::filesystem::path& folder);

}  // namespace apam::data
