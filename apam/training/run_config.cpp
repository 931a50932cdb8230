#include "apam/training/run_config.h"

#include <fmt/chrono.h>

#include <cmath>
#include <ctime>
#include <type_traits>
#include <variant>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/shared/first_arrivals.h"
#include "apam/training/evaluator.h"
#include "apam/training/option_list.h"
#include "apam/training/version.h"
#include "kernels/nccl/gpu_group.h"
#include "kernels/providers.h"
#include "kernels/runtime/available_memory.h"
#include "kernels/runtime/cores.h"
#include "kernels/runtime/device_runtime.h"
#include "kernels/runtime/host_name.h"
#include "kernels/tuning_cache.h"

namespace apam::training {
namespace {

Json to_json(const Option& option) {
  const auto value = [](const auto* field) -> Json {
    if constexpr (requires { field->has_value(); }) {
      if (!field->has_value()) return nullptr;
      if constexpr (std::is_same_v<decltype(field), const std::optional<std::string>*>)
        return json_text(**field);
      else
        return **field;
    } else if constexpr (std::is_same_v<decltype(field), const std::string*>) {
      return json_text(*field);
    } else {
      return *field;
    }
  };
  return std::visit(value, option.field);
}

Json texts(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const auto& value : values) list.push_back(json_text(value));
  return list;
}

/// A member of each rank's machine, by rank; null: it is empty.
Json by_rank(const std::vector<Machine>& machines, std::string Machine::*member) {
  Json list = Json::array();
  for (const Machine& machine : machines) {
    const std::string& text = machine.*member;
    list.push_back(text.empty() ? Json() : Json(text));
  }
  return list;
}

/// 500, or 2.5: a whole number has no point.
Json whole_or_fraction(double value) {
  return value == std::floor(value) ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

std::string start_time() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

/// "cgad, bound 20, factor 0.1, after 100 synchronous updates"
std::string describe_policy(const TrainOptions& options) {
  std::string text = options.staleness_policy;
  if (options.staleness_bound) text += fmt::format(", bound {}", *options.staleness_bound);
  if (options.staleness_gradients) text += fmt::format(", {} gradients per update", *options.staleness_gradients);
  if (options.staleness_factor) text += fmt::format(", factor {}", *options.staleness_factor);
  if (options.sync_warmup > 0) text += fmt::format(", after {} synchronous updates", options.sync_warmup);
  return text;
}

/// "transport: shared memory, M MiB (V versions of the model and W contributions)", "... (N contributions and their sum)"
std::string describe_transport(const TrainOptions& options, const RunPlan& plan) {
  std::string text = "transport: " + plan.transport;
  if (plan.shared_bytes > 0) {
    const bool async = options.exchange == "async";
    const std::string versions = async ? fmt::format("{} versions of the model and ", plan.history.slots) : "";
    std::string sums = async ? "" : " and their sum";
    if (plan.gradients_per_update > 0) sums = fmt::format(" and {} sums", exchange::shared::BackupLayout::kRounds);
    text += fmt::format(", {:.1f} MiB ({}{} contributions{})", in_mib(plan.shared_bytes), versions,
                        async ? plan.budget.roles.workers : plan.budget.ranks, sums);
  }
  if (plan.gradients_per_update > 0 && plan.shared_bytes == 0) {
    text += fmt::format(", {:.1f} MiB per rank ({} sums, and parts of {} contributions)", in_mib(plan.backup_sizes().bytes()),
                        exchange::mpi::BackupSizes::kRounds, plan.gradients_per_update);
  }
  if (options.prefetch_weights) {
    text += fmt::format(", weights are prefetched ({:.1f} MiB per worker: second weights and a second contribution)",
                        in_mib(plan.prefetch_bytes()));
  }
  if (!plan.no_shared_memory.empty()) text += fmt::format("; no shared memory: {}", plan.no_shared_memory);
  if (!plan.no_device_buffers.empty()) text += fmt::format("; no device buffers: {}", plan.no_device_buffers);
  return text;
}

}  // namespace

Json describe_options(const TrainOptions& options) {
  TrainOptions copy = options;
  Json json;
  for (const Option& option : describe(copy)) json[option.key()] = to_json(option);
  return json;
}

Json describe_config(const TrainOptions& options, const RunPlan& plan, const std::vector<std::string>& command) {
  const data::DatasetInfo& data = plan.train->dataset().info();
  Json config;
  config["version"] = kVersion;
  config["commit"] = kCommit;
  config["compiler"] = kCompiler;
  config["build_type"] = kBuildType;
  config["command"] = texts(command);
  config["started"] = start_time();
  config.update(describe_options(options));

  // Options whose value the plan has resolved.
  config["classes"] = plan.net->classes();
  config["data"] = data.name;
  config["label_order"] = data.label_order.empty() ? Json() : Json(data.label_order);
  config["train_images"] = data.train_images;
  config["test_images"] = data.test_images;
  const bool sgd = options.optimizer == "sgd";
  config["beta1"] = sgd ? Json() : Json(plan.optimizer.beta1);
  config["beta2"] = sgd ? Json() : Json(plan.optimizer.beta2);
  config["eps"] = sgd ? Json() : Json(plan.optimizer.eps);
  config["momentum"] = sgd ? Json(plan.optimizer.momentum) : Json();
  if (options.lr_step_epochs) config["lr_step_factor"] = plan.optimizer.schedule.step_factor;
  config["bn_images"] = plan.calibration ? Json(plan.calibration_batches * options.batch) : Json();
  config["eval_threads"] = plan.budget.eval_threads;
  config["device"] = to_string(plan.exec.device);
  config["threads"] = plan.budget.threads;
  config["kernel_cache"] = json_text(plan.exec.tuning_cache.string());

  config["init_sha256"] = plan.initial.sha256 ? Json(*plan.initial.sha256) : Json();
  if (!plan.transport.empty()) config["transport"] = plan.transport;
  config["no_shared_memory"] = plan.no_shared_memory.empty() ? Json() : Json(json_text(plan.no_shared_memory));
  config["no_device_buffers"] = plan.no_device_buffers.empty() ? Json() : Json(json_text(plan.no_device_buffers));
  config["shared_memory_bytes"] = plan.shared_bytes;
  config["weight_history_bytes"] = plan.history_bytes();
  config["parameters"] = plan.net->layout().parameter_count();
  config["data_source"] = json_text(data.source);
  config["data_sha256"] = data.content_sha256.empty() ? Json() : Json(data.content_sha256);
  config["train_labels_hash"] = plan.train_hashes.labels;
  config["test_labels_hash"] = plan.test_hashes.labels;
  config["train_pixels_hash"] = plan.train_hashes.pixels;
  config["test_pixels_hash"] = plan.test_hashes.pixels;
  config["class_names"] = texts(data.class_names);
  config["warnings"] = plan.warnings;
  config["updates"] = plan.schedule.total_updates;
  config["updates_per_epoch"] = whole_or_fraction(plan.epochs.updates_per_epoch());
  config["ranks"] = plan.budget.ranks;
  config["threads_by_rank"] = plan.budget.threads_by_rank;
  config["master_threads"] = plan.budget.master_threads;
  config["host"] = json_text(host_name());
  config["hosts"] = texts(plan.budget.hosts);
  config["device_by_rank"] = by_rank(plan.machines, &Machine::device);
  config["gpu_by_rank"] = by_rank(plan.machines, &Machine::gpu);
  config["cpu_by_rank"] = by_rank(plan.machines, &Machine::cpu);
  config["instruction_set_by_rank"] = by_rank(plan.machines, &Machine::instruction_set);
  config["cpu"] = json_text(kernels::cpu_model());
  const Cores cores = process_cores();
  config["cores"] = cores.count();
  config["cpus"] = cores.cpus.to_text();
  config["cpu_quota"] = cores.quota ? Json(*cores.quota) : Json();
  config["instruction_set"] = kernels::cpu::instruction_set();
  config["amx"] = kernels::amx_status();
  const bool on_gpu = plan.exec.device.kind == DeviceKind::cuda;
  config["gpus"] = on_gpu ? gpu_names() : std::vector<std::string>();
  config["onednn"] = kOneDnnVersion.empty() ? Json() : Json(kOneDnnVersion);
  config["cuda"] = kCudaVersion.empty() ? Json() : Json(kCudaVersion);
  config["cudnn"] = on_gpu ? Json(json_text(kernels::cudnn::status())) : Json();
  config["nccl"] = plan.transport == "nccl" ? Json(json_text(kernels::nccl::status())) : Json();
  config["mpi"] = exchange::mpi::library_version();
  return config;
}

std::string describe_start(const TrainOptions& options, const RunPlan& plan) {
  std::string text = fmt::format("{} ({} parameters, {} classes), {} updates of {} images, {}\n{}", options.net.name,
                                 plan.net->layout().parameter_count(), plan.net->classes(), plan.schedule.total_updates,
                                 options.batch, describe(plan.budget, options.exchange), data::describe(plan.train->dataset()));
  if (plan.delayed) {
    text +=
        fmt::format("\nartificial delay: each gradient is computed on one of the last {} versions of the weights ({:.1f} MiB)",
                    options.max_delay, in_mib(plan.history_bytes()));
  }
  if (!plan.transport.empty()) text += "\n" + describe_transport(options, plan);
  if (plan.gradients_per_update > 0) {
    text += fmt::format("\nbackup ranks: the first {} of {} gradients make an update, each of 1/{} of {} images",
                        plan.gradients_per_update, plan.budget.ranks, plan.gradients_per_update, options.batch);
  }
  if (plan.calibration) {
    text += fmt::format("\nbatch norm: recalibrated before each evaluation on {} training images",
                        plan.calibration_batches * options.batch);
  }
  if (plan.policy) text += fmt::format("\nstaleness policy: {}", describe_policy(options));
  if (options.exchange == "async") {
    text += fmt::format("\nweight history: {} versions, {:.1f} MiB ({} per worker, {} for evaluations, 2 for updates)",
                        plan.history.slots, in_mib(plan.history_bytes()),
                        plan.versions_per_worker == 1 ? "a version" : fmt::format("{}", plan.versions_per_worker),
                        BackgroundEvaluator::kMostVersions);
  }
  return text;
}

}  // namespace apam::training
