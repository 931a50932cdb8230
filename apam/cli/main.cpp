// The program `apam`: parses the command line, runs one command, and turns every error into one line and an exit code.
//   0  success     1  failure     2  invalid command line     3  the model diverged     128 + n  ended by signal n
// Failing to write standard output is a failure. If a launcher started several ranks, all of them train; only rank 0 runs the
// other commands.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "apam/cli/commands.h"
#include "apam/cli/failure.h"
#include "apam/cli/options.h"
#include "apam/cli/train_ranks.h"
#include "apam/exchange/mpi/launch.h"
#include "apam/training/usage_error.h"
#include "apam/training/version.h"
#include "kernels/runtime/standard_output.h"

namespace {

using namespace apam;  // NOLINT(google-build-using-namespace)
using cli::CommandLine;

/// All processes of a launch parse the same command line; only this one reports its errors.
bool reports_for_launch() { return exchange::mpi::launch_rank(exchange::mpi::process_environment) == 0; }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int report(const std::string& message, int code) {
  if (reports_for_launch()) std::cerr << "apam: " << first_line(message) << std::endl;
  return code;
}

bool trains_on_several_ranks(const CommandLine& command_line) {
  const auto ranks = exchange::mpi::process_environment("PMI_SIZE");
  return command_line.size() > 1 && command_line[1] == "train" && ranks && *ranks != "1";
}

enum class Ranks : std::uint8_t { all, first };

struct Command {
  CLI::App* app;
  Ranks ranks;  // that run it
  std::function<int()> run;
};

template <class Options>
Command add_command(CLI::App& program, const std::string& name, Ranks ranks, const std::string& help, Options& options,
                    std::function<int()> run) {
  CLI::App* app = program.add_subcommand(name, help);
  cli::add_options(*app, training::describe(options));
  app->get_formatter()->column_width(44);
  return {app, ranks, std::move(run)};
}

/// Runs `step`, a part of `operation`, and reports its errors.
template <class Step>
int reporting(std::string_view operation, Step&& step) {
  try {
    return step();
  } catch (const training::UsageError& error) {
    return report(error.what(), 2);
  } catch (const std::exception& error) {
    std::cerr << "apam: " << cli::describe_failure(error, operation) << std::endl;
    return 1;
  }
}

/// The arguments in reverse order, as CLI11 takes them from a vector. CLI11 would take the value of `--out=` from the next
/// argument; here the value is empty.
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
  training::TrainOptions train_options;
  training::EvalOptions eval_options;
  training::ReplayOptions replay_options;
  training::GradientsOptions gradients_options;
  training::InfoOptions info_options;
  training::DataPackOptions pack_options;
  training::DataCheckOptions check_options;
  training::DataExportOptions export_options;

  CLI::App program("apam: trains convolutional networks by asynchronous adaptive gradient methods", "apam");
  program.set_version_flag("--version", std::string(training::kVersion));
  program.footer(
      "apam COMMAND --help lists the options of a command. Several processes:\n"
      "  mpiexec.mpich -n 3 apam train --exchange async ...     1 master and 2 workers\n"
      "Under mpiexec only rank 0 runs the other commands.\n"
      "APAM_VERBOSE=1 prints one line per kernel that runs.");
  CLI::App* data = program.add_subcommand("data", "Pack, check or export a data set");
  data->require_subcommand(1);
  const std::vector<Command> commands{
      add_command(program, "train", Ranks::all, "Train a network and write a run folder", train_options,
                  [&] { return cli::train(train_options, command_line); }),
      add_command(program, "eval", Ranks::first, "Evaluate a saved model on the test images", eval_options,
                  [&] { return cli::eval(eval_options); }),
      add_command(program, "replay", Ranks::first, "Repeat a recorded asynchronous run in one process, and compare the bits",
                  replay_options, [&] { return cli::replay(replay_options); }),
      add_command(program, "gradients", Ranks::first,
                  "Compute the gradients of one given batch at given weights, from file to file", gradients_options,
                  [&] { return cli::gradients(gradients_options); }),
      add_command(program, "info", Ranks::first, "Show this build, this machine, and the kernels chosen for a network",
                  info_options, [&] { return cli::info(info_options); }),
      add_command(*data, "pack", Ranks::first, "Write a data set to one file, for --data-root FILE", pack_options,
                  [&] { return cli::data_pack(pack_options); }),
      add_command(*data, "check", Ranks::first, "Read a data set; print counts, hashes and statistics", check_options,
                  [&] { return cli::data_check(check_options); }),
      add_command(*data, "export", Ranks::first, "Write a data set in the form of another one", export_options,
                  [&] { return cli::data_export(export_options); })};
  try {
    program.parse(arguments_of(command_line));
  } catch (const CLI::Success& requested) {  // --help, --version
    return reports_for_launch() ? program.exit(requested) : 0;
  } catch (const CLI::ParseError& error) {
    // Other ranks may have another command line and wait for this one.
    const std::string mistake = first_line(cli::describe_mistake(program, error));
    if (trains_on_several_ranks(command_line)) return cli::refuse_on_all_ranks(command_line, 2, mistake);
    return report(mistake, 2);
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    if (command.ranks == Ranks::first && !reports_for_launch()) return 0;
    return reporting(command.app->get_name(), command.run);
  }
  return report("a command is needed: train, eval, replay, gradients, info or data (see apam --help)", 2);
}

}  // namespace

int main(int argc, char** argv) {
  StandardOutput output;
  const int code = reporting("apam", [&] { return run_program(CommandLine(argv, argv + argc)); });
  const auto close = [&] {
    output.close();
    return 0;
  };
  const int written = reporting("apam", close);
  return code != 0 ? code : written;
}
