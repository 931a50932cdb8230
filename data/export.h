// Writes a data set in one of the forms in which data sets are distributed.
//
//   png-tree       PART/CLASS/00000001.png and image_mean.npy: read as cinic10, imagenet32 or cifar10 (data/image_tree.h)
//   cifar-binary   data_batch_1.bin, ..., test_batch.bin: read as cifar10 (data/cifar10.h)
//   npz            train_data_batch_1.npz, ..., val_data.npz: read as imagenet32 or cifar10 (data/imagenet32_npz.h)
//
// All of them keep the order of the images. Only png-tree keeps parts other than train and test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/source.h"

namespace apam::data {

/// The valid ExportOptions::format.
std::span<const std::string_view> export_formats();

struct ExportOptions {
  std::string format = "png-tree";
  std::optional<std::int64_t> train_images{}, test_images{};  ///< the first of each; nothing: all
  std::function<void(std::int64_t images)> progress{};        ///< receives the number of images written so far
};

/// Writes `folder`, which must not exist or be empty. It appears when it is complete; until then the files are in
/// FOLDER.partial. Returns remarks for the user, one line each. Throws InputError if the folder exists or cannot be written,
/// the format cannot hold the images, or a part is missing or too small.
std::vector<std::string> export_images(Source& source, const std::filesystem::path& folder, const ExportOptions& options);

}  // namespace apam::data
