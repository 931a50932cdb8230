#include "apam/training/shared_options.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "data/dataset.h"
#include "nets/net.h"

namespace apam::training::shared_options {
namespace {

using Names = std::vector<std::string>;

Names net_names() {
  Names names;
  for (const auto& entry : nets::all_nets()) names.emplace_back(entry.name);
  return names;
}

Names data_names() {
  const auto known = data::dataset_names();
  return {known.begin(), known.end()};
}

}  // namespace

Option net_option(NetOptions& net) {
  return {.name = "--net", .field = &net.name, .group = "Network", .help = "The network", .choices = net_names()};
}

Option classes_option(NetOptions& net, std::string otherwise) {
  return {.name = "--classes",
          .field = &net.classes,
          .group = "Network",
          .unit = "N",
          .help = "Number of classes",
          .otherwise = std::move(otherwise),
          .least = 1};
}

Option images_option(std::string name, std::int64_t& images, std::string group, std::string help, std::string unit) {
  return {.name = std::move(name),
          .field = &images,
          .group = std::move(group),
          .unit = std::move(unit),
          .help = std::move(help),
          .least = 1,
          .most = kMostImages};
}

Option number_option(std::string name, double& number, std::string group, std::string help) {
  return {.name = std::move(name), .field = &number, .group = std::move(group), .unit = "F", .help = std::move(help)};
}

Option eval_split_option(std::string& split, std::string group) {
  return {.name = "--eval-split",
          .field = &split,
          .group = std::move(group),
          .help = "The images to evaluate on",
          .choices = {"test", "valid", "train"}};
}

Option file_option(std::string name, std::string& path, std::string group, std::string help) {
  return {.name = std::move(name),
          .field = &path,
          .group = std::move(group),
          .unit = "FILE.safetensors",
          .help = std::move(help),
          .required = true};
}

Option agreed(Option option) {
  option.same_on_all_ranks = true;
  return option;
}

Option required(Option option) {
  option.required = true;
  return option;
}

void add_data_source(List& list, DataOptions& data) {
  const std::string group = "Data";
  list.push_back(
      agreed({.name = "--data", .field = &data.name, .group = group, .help = "The data set", .choices = data_names()}));
  list.push_back({.name = "--data-root",
                  .field = &data.root,
                  .group = group,
                  .unit = "DIR|FILE",
                  .help = "Folder of the data files, or a packed file (apam data pack)",
                  .otherwise = "cifar10: a sample that comes with apam; fashion-mnist: Debian's package"});
  list.push_back(agreed({.name = "--label-order",
                         .field = &data.label_order,
                         .group = group,
                         .help = "imagenet32: labels numbered as in the development kit, or by sorted WordNet id",
                         .otherwise = "npz files: devkit; a folder per class: wnid",
                         .choices = {"devkit", "wnid"}}));
}

Option count_option(std::string name, std::optional<std::int64_t>& images, std::string help, std::string otherwise) {
  return {.name = std::move(name),
          .field = &images,
          .group = "Data",
          .unit = "N",
          .help = std::move(help),
          .otherwise = std::move(otherwise),
          .least = 1,
          .most = kMostImages};
}

void add_image_counts(List& list, DataOptions& data, bool of_synthetic) {
  const data::SyntheticOptions synthetic;
  const auto add = [&](std::string name, std::optional<std::int64_t>& images, std::string_view kind, std::int64_t computed) {
    std::string help = fmt::format("Number of {} images{}", kind, of_synthetic ? " (synthetic)" : ": the first N");
    std::string otherwise = fmt::format("synthetic: {}{}", computed, of_synthetic ? "" : "; others: all");
    list.push_back(agreed(count_option(std::move(name), images, std::move(help), std::move(otherwise))));
  };
  add("--train-images", data.train_images, "training", synthetic.train_images);
  add("--test-images", data.test_images, "test", synthetic.test_images);
}

void add_data(List& list, DataOptions& data) {
  add_data_source(list, data);
  list.push_back(agreed({.name = "--train-split",
                         .field = &data.train_split,
                         .group = "Data",
                         .help = "Parts of the data set that are the training images",
                         .choices = {"train", "train+valid"}}));
  add_image_counts(list, data, false);
}

void add_machine(List& list, MachineOptions& machine, std::string threads, std::string threads_otherwise) {
  const std::string group = "Machine";
  list.push_back({.name = "--device",
                  .field = &machine.device,
                  .group = group,
                  .unit = "cpu|cuda[:INDEX]",
                  .help = "Where kernels run; without an index the ranks of a host take its GPUs in turn",
                  .may_be_empty = true});
  list.push_back({.name = "--threads",
                  .field = &machine.threads,
                  .group = group,
                  .unit = "N",
                  .help = std::move(threads),
                  .otherwise = std::move(threads_otherwise),
                  .least = 1,
                  .most = kMostThreads});
  list.push_back(agreed({.name = "--precision",
                         .field = &machine.precision,
                         .group = group,
                         .help = "Type of activations and their gradients; weights and updates are float32",
                         .choices = {"float32", "bf16"}}));
  list.push_back({.name = "--kernels",
                  .field = &machine.kernels,
                  .group = group,
                  .unit = "SPEC",
                  .help =
                      "Providers of the kernels: PROVIDER or OP[.PASS]=PROVIDER[,...]; auto: the first provider, or another "
                      "that is faster by more than 5 %, timed once per machine",
                  .may_be_empty = true});
  list.push_back({.name = "--kernel-cache",
                  .field = &machine.kernel_cache,
                  .group = group,
                  .unit = "DIR",
                  .help = "Folder of those timings, '' to keep none",
                  .otherwise = "$APAM_CACHE_DIR or ~/.cache/apam",
                  .may_be_empty = true});
}

}  // namespace apam::training::shared_options
