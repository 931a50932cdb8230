// The sample of CIFAR-10 that is distributed with the program.
#pragma once

#include <filesystem>

namespace apam::data {

/// The first of these folders that exists:
/// 1. ../share/apam/sample, relative to the folder of the running program (an installed program, even if moved),
/// 2. data/sample in the source tree of this build,
/// 3. share/apam/sample in the configured install prefix.
/// Throws InputError with all three if none exists.
std::filesystem::path bundled_sample();

}  // namespace apam::data
