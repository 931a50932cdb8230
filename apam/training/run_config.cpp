#include "apam/training/run_config.h"

#include <fmt/chrono.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <tuple>

#include "apam/exchange/mpi/environment.h"
#include "apam/training/json_text.h"
#include "apam/training/version.h"
#include "kernels/runtime/cores.h"
#include "kernels/tuning_cache.h"

namespace apam::training {

using Json;
using json_text;

namespace {

std::string start_time() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

/// Each (operation, problem, pass, provider) once, in order of first use over all processes.
Json kernels_of(const std::vector<ProcessReport>& processes) {
  Json list = Json::array();
  for (const ProcessReport& process : processes) {
    for (const KernelReport& kernel : process.kernels) {
      Json entry = {{"op", kernel.op}, {"problem", kernel.problem}, {"pass", kernel.pass}, {"provider", kernel.provider}};
      if (std::find(list.begin(), list.end(), entry) == list.end()) list.push_back(std::move(entry));
    }
  }
  return list;
}

std::string counted(int count, std::string_view what) { return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s"); }

/// "4 threads", or "2 to 4 threads" where the ranks that compute differ.
std::string threads_text(const TrainOptions& options, const Crew& crew) {
  const auto first = crew.threads_by_rank.begin() + (options.exchange == "async" ? 1 : 0);
  const auto [least, most] = std::minmax_element(first, crew.threads_by_rank.end());
  if (least == crew.threads_by_rank.end() || *least == *most) return counted(crew.threads, "thread");
  return fmt::format("{} to {}", *least, counted(*most, "thread"));
}

std::string crew_text(const TrainOptions& options, const Crew& crew) {
  const std::string threads = threads_text(options, crew);
  if (options.exchange == "local") return fmt::format("local, {}", threads);
  if (options.exchange == "sync") return fmt::format("sync, {} of {}", counted(crew.ranks, "rank"), threads);
  return fmt::format("async, 1 master and {} of {}", counted(crew.workers, "worker"), threads);
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

ProcessReport report_process(std::vector<KernelReport> kernels) {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return {json_text(host_name()), static_cast<double>(usage.ru_maxrss) / 1024.0, std::move(kernels)};
}

std::string ProcessReport::to_text() const {
  Json list = Json::array();
  for (const KernelReport& kernel : kernels) list.push_back({kernel.op, kernel.problem, kernel.pass, kernel.provider});
  return Json{{"host", host}, {"peak_memory_mib", peak_memory_mib}, {"kernels", list}}.dump();
}

ProcessReport ProcessReport::from_text(std::string_view text) {
  const Json json = Json::parse(text);
  ProcessReport report{json.at("host"), json.at("peak_memory_mib"), {}};
  for (const Json& kernel : json.at("kernels")) {
    report.kernels.push_back({kernel.at(0), kernel.at(1), kernel.at(2), kernel.at(3), {}});
  }
  return report;
}

Json describe_config(const TrainOptions& options, const Plan& plan, const std::vector<std::string>& command) {
  const data::DatasetInfo& data = plan.train->dataset().info();
  Json words = Json::array();
  for (const auto& word : command) words.push_back(json_text(word));
  Json config;
  config["version"] = kVersion;
  config["commit"] = kCommit;
  config["compiler"] = kCompiler;
  config["build_type"] = kBuildType;
  config["command"] = words;
  config["started"] = start_time();
  config["net"] = options.net.name;
  config["classes"] = plan.net->classes();
  config["parameters"] = plan.net->layout().parameter_count();
  config["init"] = json_text(options.init);
  config["data"] = data.name;
  config["data_source"] = json_text(data.source);
  config["data_root"] = json_text(options.data.root);
  config["warnings"] = plan.warnings;
  config["train_images"] = data.train_images;
  config["test_images"] = data.test_images;
  config["exchange"] = options.exchange;
  config["optimizer"] = options.optimizer;
  config["lr"] = options.learning_rate;
  config["beta1"] = options.beta1;
  config["beta2"] = options.beta2;
  config["eps"] = options.eps;
  config["weight_decay"] = options.weight_decay;
  config["batch"] = options.batch;
  config["epochs"] = options.epochs ? Json(*options.epochs) : Json();
  config["max_updates"] = options.max_updates;
  config["updates"] = plan.schedule.total_updates;
  config["updates_per_epoch"] = plan.train->per_epoch();
  config["seed"] = options.seed;
  config["order"] = options.order;
  config["augment"] = options.augment;
  config["loader_threads"] = options.loader_threads;
  config["eval_every"] = plan.schedule.snapshot_every;
  config["eval_batch"] = options.eval_batch;
  config["eval_threads"] = plan.crew.eval_threads;
  config["device"] = to_string(plan.exec.device);
  config["kernels"] = json_text(options.machine.kernels);
  config["kernel_cache"] = json_text(plan.exec.tuning_cache.string());
  config["ranks"] = plan.crew.ranks;
  config["threads"] = plan.crew.threads;
  config["threads_by_rank"] = plan.crew.threads_by_rank;
  config["master_threads"] = plan.crew.master_threads;
  config["log_every"] = options.log_every;
  config["host"] = json_text(host_name());
  config["hosts"] = Json::array();
  for (const std::string& host : plan.crew.hosts) config["hosts"].push_back(json_text(host));
  config["cpu"] = json_text(kernels::cpu_model());
  const Cores cores = process_cores();
  config["cores"] = cores.count();
  config["cpus"] = cores.cpus.to_text();
  config["cpu_quota"] = cores.quota ? Json(*cores.quota) : Json();
  config["onednn"] = kOneDnnVersion;
  config["mpi"] = exchange::mpi::library_version();
  return config;
}

Json describe_summary(const TrainOptions& options, const Plan& plan, const exchange::Staleness& staleness,
                      const Finish& finish) {
  const auto& outcome = finish.outcome;
  Json summary;
  summary["test_accuracy"] = nullptr;
  summary["test_top5"] = nullptr;
  summary["test_loss"] = nullptr;
  if (const auto& last = outcome.last_evaluation; last && last->update == outcome.updates) {
    summary["test_accuracy"] = last->scores.accuracy;
    summary["test_top5"] = last->scores.top5;
    summary["test_loss"] = last->scores.loss;
  }
  summary["train_loss"] = outcome.train_loss;
  summary["train_accuracy"] = outcome.train_accuracy;
  summary["updates"] = outcome.updates;
  summary["epochs"] = static_cast<double>(outcome.updates) / static_cast<double>(plan.train->per_epoch());
  summary["seconds"] = outcome.seconds;
  summary["images_per_second"] = outcome.images_per_second;
  summary["staleness"] = {{"mean", staleness.mean()}, {"max", staleness.max()}, {"histogram", staleness.histogram()}};
  summary["updates_by_worker"] = staleness.by_worker();
  summary["weights_sha256"] = finish.weights_sha256;
  summary["state_sha256"] = finish.state_sha256;
  summary["interrupted"] = finish.ending.ending.why == exchange::Ending::Why::interrupted;
  const auto& divergence = finish.ending.divergence;
  summary["diverged"] = divergence.has_value();
  summary["divergence"] = nullptr;
  if (divergence) {
    summary["divergence"] = {{"update", divergence->update}, {"worker", divergence->worker}, {"what", divergence->what}};
  }
  summary["last_evaluation"] = nullptr;
  if (const auto& last = outcome.last_evaluation) {
    summary["last_evaluation"] = {{"update", last->update},
                                  {"test_accuracy", last->scores.accuracy},
                                  {"test_top5", last->scores.top5},
                                  {"test_loss", last->scores.loss}};
  }
  summary["net"] = options.net.name;
  summary["data"] = options.data.name;
  summary["exchange"] = options.exchange;
  summary["transport"] = finish.transport;
  summary["ranks"] = plan.crew.ranks;
  summary["threads"] = plan.crew.threads;
  summary["seed"] = options.seed;
  Json memory = Json::array();
  for (const ProcessReport& process : finish.processes) memory.push_back(process.peak_memory_mib);
  summary["peak_memory_mib"] = memory;
  summary["kernels"] = kernels_of(finish.processes);
  return summary;
}

int RunEnding::status() const {
  switch (ending.why) {
    case exchange::Ending::Why::complete:
      return 0;
    case exchange::Ending::Why::interrupted:
      return 128 + ending.signal;
    case exchange::Ending::Why::diverged:
      return 3;
  }
  return 1;
}

std::string describe(const exchange::Divergence& divergence, bool keep_going) {
  return fmt::format("training diverged at update {} (worker {}): {}{}", divergence.update, divergence.worker, divergence.what,
                     keep_going ? "" : "; a smaller --lr may help, --keep-going goes on");
}

std::string describe_start(const TrainOptions& options, const Plan& plan) {
  return fmt::format("{} ({} parameters, {} classes), {} updates of {} images, {}\n{}", options.net.name,
                     plan.net->layout().parameter_count(), plan.net->classes(), plan.schedule.total_updates, options.batch,
                     crew_text(options, plan.crew), data::describe(plan.train->dataset()));
}

std::string describe_finish(const Plan& plan, const exchange::Staleness& staleness, const Finish& finish,
                            const RunFolder& folder) {
  const auto& outcome = finish.outcome;
  std::string text;
  if (const auto& last = outcome.last_evaluation; last && last->update == outcome.updates) {
    text = fmt::format("test accuracy {:.2f} %  top-5 {:.2f} %  loss {:.4f}  ({} images)\n", 100 * last->scores.accuracy,
                       100 * last->scores.top5, last->scores.loss, last->scores.images);
  }
  text += fmt::format("{} updates in {}  {:.1f} images/s  train loss {:.4f}", outcome.updates,
                      describe_duration(outcome.seconds), outcome.images_per_second, outcome.train_loss);
  if (plan.crew.workers > 1) text += fmt::format("  staleness {:.2f} (max {})", staleness.mean(), staleness.max());
  return text + fmt::format("\nrun folder {}", folder.path().string());
}

}  // namespace apam::training
