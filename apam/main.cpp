// The program `apam`: reads the command line, runs one command, and turns whatever goes wrong into one line and a status.
//   0  done     1  failed     2  the command line cannot be meant     3  the model diverged     128 + n  ended by signal n
// Standard output that cannot be written is a failure. Of several ranks that a launcher started, all train; any other command
// is rank 0's, and the others have nothing to do.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "apam/commands/commands.h"
#include "apam/commands/failure.h"
#include "apam/commands/train_ranks.h"
#include "apam/launch.h"
#include "apam/run/standard_output.h"
#include "apam/version.h"

namespace {

using namespace apam::commands;  // NOLINT(google-build-using-namespace)

/// Of the processes of one launch, one speaks about the command line, which all of them read.
bool speaks_for_launch() { return apam::exchange::launch_rank(apam::exchange::process_environment) == 0; }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int complain(const std::string& message, int status) {
  if (speaks_for_launch()) std::cerr << "apam: " << first_line(message) << std::endl;
  return status;
}

bool trains_on_several_ranks(const CommandLine& command_line) {
  const auto ranks = apam::exchange::process_environment("PMI_SIZE");
  return command_line.size() > 1 && command_line[1] == "train" && ranks && *ranks != "1";
}

enum class Ranks : std::uint8_t { all, first };

struct Command {
  CLI::App* app;
  Ranks ranks;  // which of several act
  std::function<int()> run;
};

template <class Options>
Command add_command(CLI::App& program, const std::string& name, Ranks ranks, const std::string& help, Options& options,
                    std::function<int()> run) {
  CLI::App* app = program.add_subcommand(name, help);
  add_options(*app, options);
  app->get_formatter()->column_width(44);
  return {app, ranks, std::move(run)};
}

/// Runs `step`, the work of `operation`, and says what goes wrong.
template <class Step>
int reporting(std::string_view operation, Step&& step) {
  try {
    return step();
  } catch (const UsageError& error) {
    return complain(error.what(), 2);
  } catch (const std::exception& error) {
    std::cerr << "apam: " << describe_failure(error, operation) << std::endl;
    return 1;
  }
}

/// The arguments in the order in which CLI11 takes a vector, the last first. It reads `--out=` as if the value followed in the
/// next argument; here it is an empty value.
std::vector<std::string> arguments_of(const CommandLine& command_line) {
  std::vector<std::string> arguments;
  for (std::size_t i = 1; i < command_line.size(); ++i) {
    const std::string& word = command_line[i];
    const bool no_value = word.starts_with("--") && word.find('=') == word.size() - 1;
    arguments.push_back(no_value ? word.substr(0, word.size() - 1) : word);
    if (no_value) arguments.emplace_back();
  }
  std::reverse(arguments.begin(), arguments.end());
  return arguments;
}

int run_program(const CommandLine& command_line) {
  TrainOptions train_options;
  EvalOptions eval_options;
  GradientsOptions gradients_options;
  InfoOptions info_options;

  CLI::App program("apam: trains convolutional networks by asynchronous adaptive gradient methods", "apam");
  program.set_version_flag("--version", std::string(apam::commands::kVersion));
  program.footer(
      "apam COMMAND --help tells the options of a command. Several processes:\n"
      "  mpiexec.mpich -n 3 apam train --exchange async ...     1 master and 2 workers\n"
      "Under mpiexec only rank 0 runs the other commands.\n"
      "APAM_VERBOSE=1 prints one line per kernel that runs.");
  const std::vector<Command> commands{
      add_command(program, "train", Ranks::all, "Train a network and leave a run folder", train_options,
                  [&] { return train(train_options, command_line); }),
      add_command(program, "eval", Ranks::first, "Score a saved model on the test images", eval_options,
                  [&] { return eval(eval_options); }),
      add_command(program, "gradients", Ranks::first, "Gradients of one given batch at given weights, from file to file",
                  gradients_options, [&] { return gradients(gradients_options); }),
      add_command(program, "info", Ranks::first, "This build, this machine, and the kernels a network gets here", info_options,
                  [&] { return info(info_options); })};
  try {
    program.parse(arguments_of(command_line));
  } catch (const CLI::Success& asked) {  // --help, --version
    return speaks_for_launch() ? program.exit(asked) : 0;
  } catch (const CLI::ParseError& error) {
    // Other ranks may have been given another command line, and wait for this one.
    if (trains_on_several_ranks(command_line)) return refuse_on_all_ranks(command_line, 2, first_line(error.what()));
    return complain(error.what(), 2);
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    if (command.ranks == Ranks::first && !speaks_for_launch()) return 0;
    return reporting(command.app->get_name(), command.run);
  }
  return complain("a command is needed: train, eval, gradients or info (see apam --help)", 2);
}

}  // namespace

int main(int argc, char** argv) {
  apam::run::StandardOutput output;
  const int status = reporting("apam", [&] { return run_program(CommandLine(argv, argv + argc)); });
  const auto close = [&] {
    output.close();
    return 0;
  };
  const int written = reporting("apam", close);
  return status != 0 ? status : written;
}
