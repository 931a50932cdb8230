// CIFAR-10, binary version (Krizhevsky, "Learning multiple layers of features from tiny images", 2009): each file is a row
// of records of 3073 bytes, one label byte (0 .. 9) and 3072 pixel bytes (C, H, W) = (3, 32, 32).
#pragma once

#include <filesystem>
#include <memory>

#include "data/dataset.h"

namespace apam::data {

/// Opens the training files data_batch_1.bin, data_batch_2.bin, ... (any number of them, any number of records in each) and
/// test_batch.bin. They are looked for in `root`, then in `root`/cifar10, then in `root`/cifar-10-batches-bin; the first
/// folder with a test_batch.bin or a data_batch_N.bin is the one. An empty `root` means the sample that comes with the
/// program (data/embedded_sample.h). The files stay open, and images are read when they are asked for (data/file_reader.h).
/// Throws InputError naming the file, the rule and both values when
/// - the folder, test_batch.bin or data_batch_1.bin is missing, or the numbers of the training files have a gap;
/// - a file is not a regular file, cannot be opened, is empty, or is no whole number of records;
/// - a label is above 9.
std::shared_ptr<const Dataset> open_cifar10(const std::filesystem::path& root);

}  // namespace apam::data
