// Detects data that is well-formed but useless for training. A file of zeros, for example, has the right size and valid labels.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace apam::data {

/// Warnings, one line each. Checks up to 2^20 labels and 32 images of each split, evenly spaced, and warns if
/// - all labels are equal although there are several classes;
/// - all images are equal, or all their pixels have the same value.
/// Skips splits of a single image. Throws what Dataset::read throws.
std::vector<std::string> sanity_warnings(const Dataset& dataset);

}  // namespace apam::data
