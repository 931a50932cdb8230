#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iostream>
#include <sstream>

#include "apam/cli/commands.h"
#include "apam/exchange/mpi/environment.h"
#include "apam/training/factories.h"
#include "apam/training/json_text.h"
#include "apam/training/net_gradient_source.h"
#include "apam/training/version.h"
#include "engine/optim/updater.h"
#include "kernels/nccl/gpu_group.h"
#include "kernels/ops/kernel.h"
#include "kernels/providers.h"
#include "kernels/runtime/cores.h"
#include "kernels/tuning_cache.h"

namespace apam::cli {
namespace {

using training::Json;

/// The processor's instruction sets that kernels use.
std::vector<std::string> instruction_sets() {
  constexpr std::array<std::string_view, 9> wanted{"avx",      "avx2",     "fma",         "f16c",    "avx512f",
                                                   "avx512vl", "avx512bw", "avx512_bf16", "amx_tile"};
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> found;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (std::find(wanted.begin(), wanted.end(), word) != wanted.end()) found.push_back(word);
    }
    break;
  }
  return found;
}

/// operation -> providers, in the order of the tables.
Json providers() {
  Json json = Json::object();
  kernels::for_each_operation([&]<class Op>() {
    Json names = Json::array();
    for (const auto& candidate : kernels::implementations<Op>()) {
      const bool gpu = candidate.device == DeviceKind::cuda;
      names.push_back(gpu ? fmt::format("{} (cuda)", candidate.provider) : std::string(candidate.provider));
    }
    json[std::string(Op::name)] = names;
  });
  return json;
}

Json describe_build(const training::InfoOptions& options, int threads) {
  Json json;
  json["version"] = training::kVersion;
  json["commit"] = training::kCommit;
  json["build"] = training::kBuildType;
  json["compiler"] = training::kCompiler;
  json["cpu"] = training::json_text(kernels::cpu_model());
  const Cores cores = process_cores();
  json["cores"] = cores.count();
  json["cpus"] = cores.cpus.to_text();
  json["cpu_quota"] = cores.quota ? Json(*cores.quota) : Json();
  json["threads"] = threads;
  json["instruction_sets"] = instruction_sets();
  json["instruction_set"] = kernels::cpu::instruction_set();
  json["amx"] = kernels::amx_status();
  json["onednn"] = training::kOneDnnVersion.empty() ? Json() : Json(training::kOneDnnVersion);
  json["cuda"] = training::kCudaVersion.empty() ? Json() : Json(training::kCudaVersion);
  json["cudnn"] = kernels::cudnn::status();
  json["nccl"] = kernels::nccl::status();
  json["gpus"] = gpu_names();
  json["mpi"] = exchange::mpi::library_version();
  json["mpi_launcher"] = exchange::mpi::launcher();
  json["kernel_cache"] = training::json_text(kernel_cache_folder(options.machine).string());
  json["providers"] = providers();
  return json;
}

/// The kernels of one training step and one update of the net, with timings where several were compared.
Json kernels_of_a_step(const training::InfoOptions& options, Exec& exec) {
  data::DatasetOptions computed{.name = "synthetic"};
  computed.synthetic.classes = options.net.classes.value_or(10);
  computed.synthetic.train_images = options.batch;
  computed.synthetic.test_images = 1;
  const auto dataset = data::open_dataset(computed);
  const auto net = make_net(options.net, *dataset);
  const engine::ParameterArena arena(exec.device(), net->layout());
  arena.initialize(0);
  const auto batches = std::make_shared<const data::Batches>(dataset, data::BatchOptions{.batch = options.batch});
  training::NetGradientSource source(exec, *net, arena, batches, {.threads = 0});
  source.compute({.batch = 0});
  engine::Updater(exec, arena, {}).apply(arena.outgoing());

  Json list = Json::array();
  for (const KernelReport& kernel : exec.report()) {
    Json entry{{"op", kernel.op}, {"problem", kernel.problem}, {"pass", kernel.pass}, {"provider", kernel.provider}};
    entry["milliseconds"] = entry["spread"] = Json::object();
    for (const ProviderTime& time : kernel.measured.times) {
      entry["milliseconds"][time.provider] = time.milliseconds < kRefusedMilliseconds ? Json(time.milliseconds) : Json();
      entry["spread"][time.provider] = time.spread;
    }
    const bool compared = !kernel.measured.times.empty();
    entry["doubtful"] = kernel.measured.doubtful;
    entry["load"] = compared ? Json(kernel.measured.load) : Json();
    entry["date"] = compared ? Json(kernel.measured.date) : Json();
    list.push_back(std::move(entry));
  }
  return list;
}

std::string text_of(const Json& value) {
  if (value.is_null()) return "not built";
  if (value.is_array()) return fmt::format("{}", fmt::join(value.get<std::vector<std::string>>(), " "));
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// "  native 1.500 ms ~2 %  onednn 2.500 ms ~1 %  (load 0.3, 2026-01-31T12:00:00Z)"; the share is the interquartile range.
std::string text_of_timings(const Json& kernel) {
  if (kernel["milliseconds"].empty()) return "";
  std::string text;
  for (const auto& [provider, time] : kernel["milliseconds"].items()) {
    if (time.is_null()) {
      text += fmt::format("  {} refused", provider);
      continue;
    }
    text +=
        fmt::format("  {} {:.3f} ms ~{:.0f} %", provider, time.get<double>(), 100 * kernel["spread"][provider].get<double>());
  }
  return text + fmt::format("  ({}load {:.1f}, {})", kernel["doubtful"].get<bool>() ? "doubtful, " : "",
                            kernel["load"].get<double>(), text_of(kernel["date"]));
}

void print_info(const Json& json) {
  for (const auto& [key, value] : json.items()) {
    if (key == "providers") {
      std::cout << "providers\n";
      for (const auto& [op, names] : value.items()) std::cout << fmt::format("  {:<24}{}\n", op, text_of(names));
    } else if (key == "kernels") {
      std::cout << "kernels\n";
      for (const auto& kernel : value) {
        std::cout << fmt::format("  {:<24}{:<18}{:<10} {}{}\n", text_of(kernel["op"]), text_of(kernel["pass"]),
                                 text_of(kernel["provider"]), text_of(kernel["problem"]), text_of_timings(kernel));
      }
    } else {
      const bool unlimited = key == "cpu_quota" && value.is_null();
      const bool none = unlimited || (value.is_array() && value.empty());
      std::cout << fmt::format("{:<26}{}\n", key, none ? "none" : text_of(value));
    }
  }
}

}  // namespace

int info(const training::InfoOptions& options) {
  const int threads = options.machine.threads > 0 ? options.machine.threads : available_cores();
  ExecOptions machine = exec_options(options.machine, threads);
  machine.retime = options.retime;
  Exec exec(std::move(machine));
  Json json = describe_build(options, threads);
  if (!options.net.name.empty()) json["kernels"] = kernels_of_a_step(options, exec);
  if (options.json) {
    std::cout << json.dump(2) << '\n';
  } else {
    print_info(json);
  }
  return 0;
}

}  // namespace apam::cli
