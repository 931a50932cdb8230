#include "apam/training/run_summary.h"

#include <algorithm>

#include "apam/training/progress.h"

namespace apam::training {
namespace {

Json scores_of(const Evaluation& evaluation) {
  return {{"test_accuracy", evaluation.scores.accuracy},
          {"test_top5", evaluation.scores.top5},
          {"test_loss", evaluation.scores.loss}};
}

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

}  // namespace

const Evaluation* RunSummary::final_evaluation() const {
  return last_evaluation && last_evaluation->update == updates ? &*last_evaluation : nullptr;
}

int exit_code(const exchange::Ending& ending) {
  switch (ending.why) {
    case exchange::Ending::Why::complete:
      return 0;
    case exchange::Ending::Why::interrupted:
      return 128 + ending.signal;
    case exchange::Ending::Why::diverged:
      return 3;
    case exchange::Ending::Why::deserted:
      return 1;
  }
  return 1;
}

Json describe_summary(const RunSummary& summary, const TrainOptions& options, const RunPlan& plan) {
  Json json{{"test_accuracy", nullptr}, {"test_top5", nullptr}, {"test_loss", nullptr}};
  if (const Evaluation* last = summary.final_evaluation()) json.update(scores_of(*last));
  json["train_loss"] = summary.train_loss;
  json["train_accuracy"] = summary.train_accuracy;
  json["train_top5"] = summary.train_top5;
  json["updates"] = summary.updates;
  json["epochs"] = plan.epochs.at(summary.updates);
  json["seconds"] = summary.seconds;
  json["images_per_second"] = summary.images_per_second;
  const exchange::Staleness& staleness = summary.staleness;
  json["staleness"] = {{"mean", staleness.mean()}, {"max", staleness.max()}, {"histogram", staleness.histogram()}};
  const auto& by_master = summary.exchange.staleness_by_master;
  json["staleness_by_master"] = by_master.empty() ? Json() : Json(by_master);
  json["publish_lag"] = {{"mean", staleness.mean_publish_lag()}, {"max", staleness.max_publish_lag()}};
  json["prefetch_weights"] = options.prefetch_weights;
  json["leases"] = nullptr;
  if (const auto& leases = summary.exchange.leases) {
    json["leases"] = {{"granted", leases->granted},
                      {"applied", leases->applied},
                      {"refused", leases->refused},
                      {"cancelled", leases->cancelled},
                      {"abandoned", leases->abandoned}};
  }
  json["departed"] = summary.departed;
  json["dropped"] = nullptr;
  if (const auto& leases = summary.exchange.leases; leases && options.sync_backup > 0) {
    json["dropped"] = leases->refused + leases->abandoned;
  }
  json["staleness_policy"] = options.staleness_policy;
  json["sync_warmup"] = options.sync_warmup;
  json["updates_by_worker"] = staleness.by_worker();
  json["weights_sha256"] = summary.sha256.weights;
  json["state_sha256"] = summary.sha256.state;
  const exchange::Ending& ending = summary.exchange.ending;
  json["ending"] = to_string(ending.why);
  json["interrupted"] = ending.why == exchange::Ending::Why::interrupted;
  json["signal"] = json["interrupted"] ? Json(ending.signal) : Json();
  const auto& divergence = summary.exchange.divergence;
  json["diverged"] = divergence.has_value();
  json["divergence"] = nullptr;
  if (divergence) {
    json["divergence"] = {{"update", divergence->update}, {"worker", divergence->worker}, {"what", divergence->what}};
  }
  json["last_evaluation"] = nullptr;
  if (const auto& last = summary.last_evaluation) {
    json["last_evaluation"] = {{"update", last->update}};
    json["last_evaluation"].update(scores_of(*last));
  }
  json["net"] = options.net.name;
  json["data"] = options.data.name;
  json["eval_split"] = options.eval_split;
  json["bn"] = options.bn;
  json["exchange"] = options.exchange;
  json["max_delay"] = options.max_delay;
  json["sync_backup"] = options.sync_backup;
  json["weight_history_bytes"] = plan.history_bytes();
  json["transport"] = summary.exchange.transport;
  json["copied_bytes"] = summary.exchange.copied_bytes ? Json(*summary.exchange.copied_bytes) : Json();
  json["shared_memory_bytes"] = plan.shared_bytes;
  json["masters"] = plan.budget.roles.masters;
  json["master_order"] = options.master_order;
  json["colocate"] = options.colocate;
  json["shards"] = Json::array();
  for (const auto& range : plan.shards) json["shards"].push_back({{"begin", range.begin}, {"end", range.end()}});
  json["master_threads"] = plan.budget.master_threads;
  json["ranks"] = plan.budget.ranks;
  json["threads"] = plan.budget.threads;
  json["seed"] = options.seed;
  json["peak_memory_mib"] = Json::array();
  for (const ProcessReport& process : summary.processes) {
    const bool reported = !process.host.empty();  // unless it has left
    json["peak_memory_mib"].push_back(reported ? Json(process.peak_memory_mib) : Json());
  }
  json["kernels"] = kernels_of(summary.processes);
  return json;
}

std::string describe(const RunSummary& summary, const RunPlan& plan, const std::filesystem::path& folder) {
  std::string text;
  if (const Evaluation* last = summary.final_evaluation()) {
    text = fmt::format("{} accuracy {:.2f} %  top-5 {:.2f} %  loss {:.4f}  ({} images)\n",
                       data::to_string(plan.evaluation->options().split), 100 * last->scores.accuracy, 100 * last->scores.top5,
                       last->scores.loss, last->scores.images);
  }
  text += fmt::format("{} updates in {}  {:.1f} images/s  train loss {:.4f}", summary.updates,
                      describe_duration(summary.seconds), summary.images_per_second, summary.train_loss);
  const exchange::Staleness& staleness = summary.staleness;
  const bool stale = plan.budget.roles.workers > 1 || plan.delayed || staleness.max() > 0;
  if (stale) text += fmt::format("  staleness {:.2f} (max {})", staleness.mean(), staleness.max());
  if (staleness.max_publish_lag() > 0) {
    text += fmt::format("  publish lag {:.2f} (max {})", staleness.mean_publish_lag(), staleness.max_publish_lag());
  }
  const auto& leases = summary.exchange.leases;
  if (leases && plan.gradients_per_update > 0) {
    text += fmt::format("  {} gradients dropped", leases->refused + leases->abandoned);
  } else if (leases && leases->refused + leases->cancelled > 0) {
    text += fmt::format("  {} gradients refused, {} cancelled", leases->refused, leases->cancelled);
  }
  return text + fmt::format("\nrun folder {}", folder.string());
}

std::string describe(const exchange::Divergence& divergence, bool keep_going) {
  return fmt::format("training diverged at update {} (worker {}): {}{}", divergence.update, divergence.worker, divergence.what,
                     keep_going ? "" : "; a smaller --lr may help, --keep-going continues anyway");
}

}  // namespace apam::training
