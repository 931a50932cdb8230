// Makes the objects that the options describe.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "apam/training/options.h"
#include "data/batches.h"
#include "kernels/runtime/exec.h"
#include "nets/net.h"

namespace apam::training {

/// Folder of the kernel timings: --kernel-cache, else $APAM_CACHE_DIR, else $XDG_CACHE_HOME/apam, else ~/.cache/apam.
/// Empty: timings are not kept.
std::filesystem::path kernel_cache_folder(const MachineOptions& machine);

/// Throws UsageError for a device or kernel selection that does not exist, DeviceError for a device that this build or this
/// machine does not have.
ExecOptions exec_options(const MachineOptions& machine, int threads);

/// See data::PackOptions.
using PackObserver = std::function<void(const data::PackProgress&)>;

/// The data set of the options. Packed files of folders that are not writable go to the folder `data` next to the kernel
/// timings' default place.
data::DatasetOptions dataset_options(const DataOptions& options);

/// The same files, whole, to be read once (data/dataset.h). Throws UsageError for --train-images and --test-images of any data
/// but synthetic.
data::OpenedSource open_whole_source(const DataOptions& options);

/// Opens the data set; the first use of a folder packs it. Throws InputError for files that are missing or malformed,
/// UsageError for more images than there are.
std::shared_ptr<const data::Dataset> open_data(const DataOptions& options, const NetOptions& net,
                                               const PackObserver& observer = {});

/// Throws UsageError if the net would have fewer classes than the data.
std::unique_ptr<nets::Net> make_net(const NetOptions& options, const data::Dataset& dataset);

/// Throws InputError with file and tensor if the arena's state, read from `path`, is not finite.
void require_finite(Exec& exec, const engine::ParameterArena& arena, const std::string& path);

/// The images of --eval-split `split` in order, in batches of at most `batch`. Throws UsageError if the data set has none.
std::shared_ptr<const data::Batches> evaluation_batches(const std::shared_ptr<const data::Dataset>& dataset,
                                                        const std::string& split, std::int64_t batch);

}  // namespace apam::training
