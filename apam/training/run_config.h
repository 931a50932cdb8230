// The configuration of a run: config.json, and the lines printed at the start.
#pragma once

#include <string>
#include <vector>

#include "apam/training/json_text.h"
#include "apam/training/run_plan.h"

namespace apam::training {

/// The value of every option (option_list.h), by key. Null: not given.
Json describe_options(const TrainOptions& options);

/// All options, with the values that the plan has resolved in place of defaults; and the program, the data, the model and the
/// machine. `command`: the program and its arguments.
Json describe_config(const TrainOptions& options, const RunPlan& plan, const std::vector<std::string>& command);

/// For people: net, updates, processes and data.
std::string describe_start(const TrainOptions& options, const RunPlan& plan);

}  // namespace apam::training
