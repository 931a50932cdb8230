// CIFAR-10, binary version (Krizhevsky, "Learning multiple layers of features from tiny images", 2009): files are
// sequences of records of 3073 bytes: one label byte (0 .. 9) and 3072 pixel bytes (C, H, W) = (3, 32, 32).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace apam::data {

/// Opens the training files data_batch_1.bin, data_batch_2.bin, ... (any number of files and records) and test_batch.bin, in
/// the first of the folders `root`, `root`/cifar10 and `root`/cifar-10-batches-bin that has a test_batch.bin or a
/// data_batch_N.bin. An empty `root` selects the bundled sample (data/bundled_sample.h). The files stay open; images are read
/// on demand (data/file_reader.h). Throws InputError with the file, the rule and both values if
/// - the folder, test_batch.bin or data_batch_1.bin is missing, or the training files are not numbered without gaps;
/// - a file is not a regular file, cannot be opened, is empty, or does not consist of whole records;
/// - a label is above 9.
std::shared_ptr<const Dataset> open_cifar10(const std::filesystem::path& root);

/// Whether one of these folders of `root` has a test_batch.bin or a data_batch_N.bin.
bool has_cifar10_files(const std::filesystem::path& root);

/// "airplane", "automobile", ..., in the order of the labels.
std::vector<std::string> cifar10_classes();

/// The mean and standard deviation of channels in common use.
Normalisation cifar10_normalisation();

}  // namespace apam::data
