// From what a user typed to the objects that do the work.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "apam/training/options.h"
#include "data/batches.h"
#include "kernels/runtime/exec.h"
#include "nets/net.h"

namespace apam::training {

/// Where timings of kernels are kept: --kernel-cache, else $APAM_CACHE_DIR, else $XDG_CACHE_HOME/apam, else ~/.cache/apam.
/// An empty path: nowhere.
std::filesystem::path kernel_cache_folder(const MachineOptions& machine);

/// What an Exec is made of. Throws UsageError for a device or a kernel selection that does not exist, DeviceError for a
/// device that this build or this machine does not have.
ExecOptions exec_options(const MachineOptions& machine, int threads);

/// Throws InputError for files that are missing or malformed.
std::shared_ptr<const data::Dataset> open_data(const DataOptions& options, const NetOptions& net);

/// Throws UsageError when the net would have fewer classes than the data.
std::unique_ptr<nets::Net> make_net(const NetOptions& options, const data::Dataset& dataset);

/// Throws InputError that names the file and the tensor if the arena's state, read from `path`, is not finite.
void require_finite(Exec& exec, const engine::ParameterArena& arena, const std::string& path);

/// The test images in order, in batches of at most `batch`.
std::shared_ptr<const data::Batches> test_batches(const std::shared_ptr<const data::Dataset>& dataset, std::int64_t batch);

/// The text as a file name: letters, digits, '-', '_' and '.' stay, anything else becomes '-'.
std::string file_name(std::string text);

}  // namespace apam::training
