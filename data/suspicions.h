// Data that can be read, but hardly meant: a file of zeros has the right size and valid labels.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace apam::data {

/// What is odd about a dataset, one line each; empty for a sound one. Looks at all labels (2^20 at most, evenly spaced) and at
/// 32 images of each split, evenly spaced:
/// - all labels of a split are the same, though there are more classes;
/// - all its images have one and the same value everywhere, or are all the same image.
/// Splits of one image are not judged. Throws what Dataset::read throws.
std::vector<std::string> suspicions(const Dataset& dataset);

}  // namespace apam::data
