// Puts options on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "apam/training/option_list.h"

namespace apam::cli {

/// Adds the options of a command. Parsing sets their fields.
void add_options(CLI::App& app, const std::vector<training::Option>& options);

/// For the user: what is wrong with a command line. The first line says it. `program`: the one that was parsed.
std::string describe_mistake(const CLI::App& program, const CLI::ParseError& error);

}  // namespace apam::cli
