// Descriptions of options that several commands have (option_list.h).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "apam/training/option_list.h"

namespace apam::training::shared_options {

using List = std::vector<Option>;

inline constexpr int kMostThreads = 1024;
// An image's position in an epoch is an int32.
inline constexpr std::int64_t kMostImages = std::numeric_limits<std::int32_t>::max();

Option net_option(NetOptions& net);
Option classes_option(NetOptions& net, std::string otherwise);
Option images_option(std::string name, std::int64_t& images, std::string group, std::string help, std::string unit = "IMAGES");
Option count_option(std::string name, std::optional<std::int64_t>& images, std::string help, std::string otherwise);
Option number_option(std::string name, double& number, std::string group, std::string help);
Option eval_split_option(std::string& split, std::string group);
Option file_option(std::string name, std::string& path, std::string group, std::string help);
Option agreed(Option option);
Option required(Option option);
/// Which data set, and where it is.
void add_data_source(List& list, DataOptions& data);
/// --train-images and --test-images; `of_synthetic`: the command has them for computed images only.
void add_image_counts(List& list, DataOptions& data, bool of_synthetic);
void add_data(List& list, DataOptions& data);
void add_machine(List& list, MachineOptions& machine, std::string threads, std::string threads_otherwise);

}  // namespace apam::training::shared_options
