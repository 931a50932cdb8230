#include <exception>
#include <iostream>

#include "apam/commands/commands.h"
#include "apam/commands/failure.h"
#include "apam/commands/net_gradient_source.h"
#include "apam/commands/recorder.h"
#include "apam/commands/train_ranks.h"
#include "apam/launch.h"
#include "apam/local/direct.h"
#include "apam/master.h"
#include "apam/mpi/environment.h"

namespace apam::commands {
namespace {

int train_local(const TrainOptions& options, const CommandLine& command) {
  const run::Interruption interruption;
  const Plan plan = make_plan(options, make_crew(options, 1, 1));
  Exec exec(plan.exec);
  const engine::ParameterArena arena(exec.device(), plan.net->layout());
  const std::int64_t batches_before = first_weights(options, arena);
  const auto on_the_spot = [&] { return std::make_unique<EvaluationsOnTheSpot>(exec, *plan.net, plan.test); };
  Recorder recorder(options, plan, command, on_the_spot, &interruption);
  exchange::Updater updater(exec, arena, plan.optimizer);
  exchange::Master master(updater, 1, plan.schedule, recorder.monitor());
  NetGradientSource source(exec, *plan.net, arena, plan.train, {.threads = options.loader_threads});

  int status = 0;
  recorder.monitor().start();
  try {
    exchange::train_directly(master, source);
  } catch (const Interrupted& interrupted) {
    status = 128 + interrupted.signal();
  }
  recorder.save(arena, batches_before);
  recorder.monitor().finish();
  recorder.close(arena, {"none (one process)", {report_process(exec.report())}, status != 0});
  return status;
}

}  // namespace

int train(const TrainOptions& options, const CommandLine& command) {
  if (options.exchange == "local") {
    const auto size = exchange::process_environment("PMI_SIZE");
    require<UsageError>(!size || *size == "1",
                        "--exchange local: trains in one process, but {} were started; use async or sync", size.value_or("1"));
    return train_local(options, command);
  }
  std::vector<const char*> arguments;
  for (const auto& argument : command) arguments.push_back(argument.c_str());
  exchange::mpi::Environment environment(static_cast<int>(arguments.size()), arguments.data());
  try {
    return environment.finish(train_ranks(environment, options, command));
  } catch (const std::exception& error) {
    const std::string who = environment.ranks() > 1 ? fmt::format("rank {}: ", environment.rank()) : "";
    std::cerr << "apam: " << who << describe_failure(error, "train") << std::endl;
    exchange::mpi::end_job(1);  // the others may be waiting for this rank
  }
}

}  // namespace apam::commands
