// Where the sample of real CIFAR-10 images that comes with the program lies.
#pragma once

#include <filesystem>

namespace apam::data {

/// The first of these folders that exists:
/// 1. ../share/apam/sample beside the folder of the running program (an installed program, wherever it was moved to),
/// 2. data/sample in the source tree that this library was built from,
/// 3. share/apam/sample below the prefix that this library was configured for.
/// Throws InputError naming all three when none does.
std::filesystem::path embedded_sample();

}  // namespace apam::data
