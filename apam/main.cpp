// The program `apam`: reads the command line, runs one command, and turns whatever goes wrong into one line and a status.
//   0  done     1  failed     2  the command line cannot be meant     128 + n  ended by signal n
#include <CLI/CLI.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "apam/commands/commands.h"
#include "apam/launch.h"
#include "apam/mpi/environment.h"
#include "apam/version.h"

namespace {

using namespace apam::commands;  // NOLINT(google-build-using-namespace)

/// Of the processes of one launch, one speaks about the command line, which all of them read.
bool speaks_for_launch() {
  const auto rank = apam::exchange::process_environment("PMI_RANK");
  return !rank || *rank == "0";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int complain(const std::string& message, int status) {
  if (speaks_for_launch()) std::cerr << "apam: " << first_line(message) << std::endl;
  return status;
}

struct Command {
  CLI::App* app;
  std::function<int()> run;
};

template <class Options>
Command add_command(CLI::App& program, const std::string& name, const std::string& help, Options& options,
                    std::function<int()> run) {
  CLI::App* app = program.add_subcommand(name, help);
  add_options(*app, options);
  app->get_formatter()->column_width(44);
  return {app, std::move(run)};
}

int run_program(const CommandLine& command_line, int argc, const char* const* argv) {
  TrainOptions train_options;
  EvalOptions eval_options;
  GradientsOptions gradients_options;
  InfoOptions info_options;

  CLI::App program("apam: trains convolutional networks by asynchronous adaptive gradient methods", "apam");
  program.set_version_flag("--version", std::string(apam::commands::kVersion));
  program.footer(
      "apam COMMAND --help tells the options of a command. Several processes:\n"
      "  mpiexec.mpich -n 3 apam train --exchange async ...     1 master and 2 workers");
  const std::vector<Command> commands{
      add_command(program, "train", "Train a network and leave a run folder", train_options,
                  [&] { return train(train_options, command_line); }),
      add_command(program, "eval", "Score a saved model on the test images", eval_options, [&] { return eval(eval_options); }),
      add_command(program, "gradients", "Gradients of one given batch at given weights, from file to file", gradients_options,
                  [&] { return gradients(gradients_options); }),
      add_command(program, "info", "This build, this machine, and the kernels a network gets here", info_options,
                  [&] { return info(info_options); })};
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return speaks_for_launch() ? program.exit(asked) : 0;
  } catch (const CLI::ParseError& error) {
    return complain(error.what(), 2);
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return complain("a command is needed: train, eval, gradients or info (see apam --help)", 2);
}

}  // namespace

int main(int argc, char** argv) {
  const CommandLine command_line(argv, argv + argc);
  try {
    return run_program(command_line, argc, argv);
  } catch (const UsageError& error) {
    return complain(error.what(), 2);
  } catch (const std::exception& error) {
    std::cerr << "apam: " << error.what() << std::endl;
    return 1;
  }
}
