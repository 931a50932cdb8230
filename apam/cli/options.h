// Puts options on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <vector>

#include "apam/training/option_list.h"

namespace apam::cli {

/// Adds the options of a command. Parsing sets their fields.
void add_options(CLI::App& app, const std::vector<training::Option>& options);

}  // namespace apam::cli
