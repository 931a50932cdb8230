#include "apam/training/factories.h"

#include <cstdlib>
#include <utility>

#include "apam/training/usage_error.h"
#include "data/first_images.h"
#include "kernels/ops/kernel.h"
#include "kernels/runtime/parallel.h"

namespace apam::training {

namespace {

/// $APAM_CACHE_DIR, else $XDG_CACHE_HOME/apam, else ~/.cache/apam; empty: none.
std::filesystem::path cache_folder() {
  if (const char* folder = std::getenv("APAM_CACHE_DIR")) return folder;
  if (const char* caches = std::getenv("XDG_CACHE_HOME"); caches != nullptr && *caches != '\0') {
    return std::filesystem::path(caches) / "apam";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::filesystem::path(home) / ".cache" / "apam";
  }
  return {};
}

}  // namespace

std::filesystem::path kernel_cache_folder(const MachineOptions& machine) {
  return machine.kernel_cache ? std::filesystem::path(*machine.kernel_cache) : cache_folder();
}

ExecOptions exec_options(const MachineOptions& machine, int threads) {
  ExecOptions options{.threads = threads, .tuning_cache = kernel_cache_folder(machine)};
  checking_usage([&] {
    check_threads(threads);
    options.device = parse_device(machine.device);
    options.activations = parse_precision(machine.precision);
    options.kernels = KernelSelection::parse(machine.kernels);
    kernels::check_selection(options.kernels);
  });
  device_runtime(options.device.kind);  // throws if there is none
  kernels::check_kernels_for(options.device.kind);
  return options;
}

data::DatasetOptions dataset_options(const DataOptions& options) {
  const std::filesystem::path cache = cache_folder();
  data::DatasetOptions wanted{.name = options.name,
                              .root = options.root,
                              .train_split = options.train_split,
                              .label_order = options.label_order.value_or(""),
                              .cache = cache.empty() ? cache : cache / "data"};
  wanted.synthetic.train_images = options.train_images.value_or(wanted.synthetic.train_images);
  wanted.synthetic.test_images = options.test_images.value_or(wanted.synthetic.test_images);
  return wanted;
}

data::OpenedSource open_whole_source(const DataOptions& options) {
  const bool computed = options.name == "synthetic";
  require<UsageError>(computed || !options.train_images, "--train-images {}: is for --data synthetic, got {}",
                      options.train_images.value_or(0), options.name);
  require<UsageError>(computed || !options.test_images, "--test-images {}: is for --data synthetic, got {}",
                      options.test_images.value_or(0), options.name);
  return data::open_source(dataset_options(options));
}

std::shared_ptr<const data::Dataset> open_data(const DataOptions& options, const NetOptions& net,
                                               const PackObserver& observer) {
  data::DatasetOptions wanted = dataset_options(options);
  wanted.progress = observer;
  wanted.synthetic.classes = net.classes.value_or(wanted.synthetic.classes);
  auto dataset = data::open_dataset(wanted);
  const data::DatasetInfo& info = dataset->info();
  const std::int64_t train = options.train_images.value_or(1), test = options.test_images.value_or(1);
  require<UsageError>(train <= info.train_images, "--train-images {}: {} has {} training images", train, info.name,
                      info.train_images);
  require<UsageError>(test <= info.test_images, "--test-images {}: {} has {} test images", test, info.name, info.test_images);
  return data::first_images(std::move(dataset), options.train_images, options.test_images);
}

std::unique_ptr<nets::Net> make_net(const NetOptions& options, const data::Dataset& dataset) {
  const int needed = dataset.info().classes();
  const int classes = options.classes.value_or(needed);
  require<UsageError>(classes >= needed, "--classes {}: {} has {} classes", classes, dataset.info().name, needed);
  return checking_usage([&] { return nets::make_net(options.name, classes); });
}

void require_finite(Exec& exec, const engine::ParameterArena& arena, const std::string& path) {
  const auto tensor = engine::non_finite_tensor(exec, arena.layout(), arena.state());
  require<InputError>(!tensor, "weights: {}: tensor {} is not finite, expected numbers: that training diverged", path,
                      tensor.value_or(""));
}

std::shared_ptr<const data::Batches> evaluation_batches(const std::shared_ptr<const data::Dataset>& dataset,
                                                        const std::string& split, std::int64_t batch) {
  const auto wanted = data::parse_split(split);
  const data::DatasetInfo& info = dataset->info();
  require<UsageError>(wanted && info.images(*wanted) > 0, "--eval-split {}: {} has {} train, {} valid and {} test images",
                      split, info.name, info.train_images, info.valid_images, info.test_images);
  return std::make_shared<const data::Batches>(dataset, data::evaluation_batches(batch, *wanted));
}

}  // namespace apam::training
