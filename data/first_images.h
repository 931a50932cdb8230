// The first images of a data set.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "data/dataset.h"

namespace apam::data {

/// `dataset` with its first `train` training and `test` test images; nothing: all. Throws InputError if it has fewer.
std::shared_ptr<const Dataset> first_images(std::shared_ptr<const Dataset> dataset, std::optional<std::int64_t> train,
                                            std::optional<std::int64_t> test);

}  // namespace apam::data
