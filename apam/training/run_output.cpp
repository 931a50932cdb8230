#include "apam/training/run_output.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "nets/weight_file.h"

namespace apam::training {

Recorder::Recorder(const TrainOptions& options, const Plan& plan, const CommandLine& command,
                   const MakeEvaluations& make_evaluations)
    : options_(options),
      plan_(plan),
      folder_(output_folder(options), existing_folder(options)),
      evaluations_(make_evaluations()),
      progress_(std::cerr, terminal_columns(STDERR_FILENO)) {
  folder_.write_config(describe_config(options, plan, command));
  const TrainingMonitor::Options watch{.updates_per_epoch = plan.train->per_epoch(),
                                       .total_updates = plan.schedule.total_updates,
                                       .workers = plan.crew.workers,
                                       .log_every = options.log_every};
  monitor_ = std::make_unique<TrainingMonitor>(watch, *evaluations_, folder_, progress_);
  for (const auto& warning : plan.warnings) progress_.note("apam: warning: " + warning);
  progress_.note(describe_start(options, plan));
}

bool Recorder::has_result(const exchange::Ending& ending) const {
  return monitor_->outcome().updates > 0 || ending.why != exchange::Ending::Why::interrupted;
}

void Recorder::save(const engine::ParameterArena& arena, std::int64_t batches_before, const exchange::Ending& ending) {
  if (!has_result(ending)) return;
  folder_.start();
  nets::save_weights(folder_.model(), arena, batches_before + monitor_->outcome().updates);
}

void Recorder::close(const engine::ParameterArena& arena, End end) {
  progress_.close();
  if (!has_result(end.ending.ending)) {
    std::cerr << "apam: interrupted by signal " << end.ending.ending.signal << " before the first update" << std::endl;
    return;
  }
  const Finish finish{.outcome = monitor_->outcome(),
                      .ending = std::move(end.ending),
                      .weights_sha256 = nets::weights_sha256(arena),
                      .state_sha256 = nets::state_sha256(arena),
                      .transport = end.transport,
                      .processes = std::move(end.processes)};
  if (finish.ending.divergence) std::cerr << "apam: " << describe(*finish.ending.divergence, options_.keep_going) << std::endl;
  folder_.write_summary(describe_summary(options_, plan_, monitor_->staleness(), finish));
  std::cout << describe_finish(plan_, monitor_->staleness(), finish, folder_) << std::endl;
}

}  // namespace apam::training
