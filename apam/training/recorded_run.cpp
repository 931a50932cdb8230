#include "apam/training/recorded_run.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <type_traits>
#include <utility>
#include <variant>

#include "apam/exchange/roles.h"
#include "apam/training/event_order.h"
#include "apam/training/option_list.h"
#include "apam/training/run_folder.h"
#include "apam/training/version.h"
#include "kernels/providers.h"
#include "kernels/runtime/error.h"

namespace apam::training {
namespace {

namespace fs = std::filesystem;

/// The whole lines of a file.
std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  require<InputError>(file.is_open(), "{}: cannot be opened", path.string());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line) && !file.eof();) lines.push_back(std::move(line));
  return lines;
}

Json json_of(const fs::path& path) {
  std::ifstream file(path);
  require<InputError>(file.is_open(), "{}: cannot be opened", path.string());
  Json json = Json::parse(file, nullptr, false);
  require<InputError>(json.is_object(), "{}: is not an object of JSON", path.string());
  return json;
}

/// Throws Json::exception.
void set(const Field& field, const Json& value) {
  std::visit(
      [&](auto* place) {
        using Type = std::remove_pointer_t<decltype(place)>;
        if constexpr (requires { typename Type::value_type; } && !std::is_same_v<Type, std::string>) {
          value.is_null() ? place->reset() : void(*place = value.get<typename Type::value_type>());
        } else {
          *place = value.get<Type>();
        }
      },
      field);
}

/// "cuda" of "cuda:1".
std::string kind_of(const std::string& device) { return device.substr(0, device.find(':')); }

}  // namespace

TrainOptions options_of_run(const Json& config, const std::string& where) {
  TrainOptions options;
  for (const Option& option : describe(options)) {
    const auto value = config.find(option.key());
    if (value == config.end()) continue;
    try {
      set(option.field, *value);
    } catch (const Json::exception& error) {
      fail<InputError>("{}: {}: {}", where, option.key(), error.what());
    }
  }
  options.machine.device = kind_of(options.machine.device);
  // Of this process, or without an effect here.
  options.transport = options.wire == "float32" ? "auto" : "mpi";
  options.machine.kernel_cache.reset();
  options.out.clear();
  options.trace.clear();
  options.overwrite = options.resume = false;
  return options;
}

RecordedRun RecordedRun::read(const fs::path& folder) {
  const fs::path config = folder / "config.json", summary = folder / "summary.json", order = folder / RunFolder::kOrder;
  RecordedRun run{.folder = folder, .config = json_of(config), .summary = nullptr, .options = {}, .calls = {}, .losses = {}};
  run.options = options_of_run(run.config, config.string());
  require<InputError>(run.options.exchange == "async" && run.options.master_order == "sequenced",
                      "{}: --exchange {} with --master-order {} has no order of events to replay, expected async and sequenced",
                      config.string(), run.options.exchange, run.options.master_order);
  if (fs::exists(summary)) run.summary = json_of(summary);
  std::size_t number = 0;
  for (const std::string& line : lines_of(order)) {
    run.calls.push_back(parse_order_line(line, fmt::format("{}: line {}", order.string(), ++number)));
  }
  require<InputError>(!run.calls.empty(), "{}: has no events", order.string());
  const fs::path metrics = folder / "metrics.jsonl";
  try {
    for (const std::string& line : lines_of(metrics)) {
      const Json json = Json::parse(line);
      if (json.at("event") != "train") continue;
      const Json& loss = json.at("train_loss");
      run.losses.push_back({json.at("update"), loss.is_number() ? loss.get<double>() : std::nan("")});
    }
  } catch (const Json::exception& error) {
    fail<InputError>("{}: {}", metrics.string(), error.what());
  }
  return run;
}

std::vector<std::vector<int>> RecordedRun::threads_of_workers() const {
  std::vector<std::vector<int>> all;
  const auto add = [&](const Json& start) {
    std::vector<int> threads = start.at("threads_by_rank");
    const exchange::Roles roles = exchange::Roles::of(static_cast<int>(threads.size()), options.masters, options.colocate);
    require<InputError>(roles.complete(), "{}: {} ranks with --masters {}, expected a worker",
                        (folder / "config.json").string(), threads.size(), options.masters);
    threads.erase(threads.begin(), threads.begin() + roles.first_worker());
    all.push_back(std::move(threads));
  };
  try {
    for (const Json& start : config.at("resumed")) add(start);
    add(config);
    return all;
  } catch (const Json::exception& error) {
    fail<InputError>("{}: {}", (folder / "config.json").string(), error.what());
  }
}

KernelDecisions RecordedRun::kernels(Device device, int threads) const {
  KernelDecisions decisions;
  if (summary.is_null()) return decisions;
  const std::string where = (folder / "summary.json").string();
  try {
    for (const Json& kernel : summary.at("kernels")) {
      const DecisionKey key{kernel.at("op"), kernel.at("problem"), kernel.at("pass"), device, threads};
      const KernelDecision decision{.provider = kernel.at("provider"), .measured = {}};
      const KernelDecision* const other = decisions.find(key.to_text());
      require<InputError>(other == nullptr || *other == decision, "{}: {} was computed by {} and by {}, a replay needs one",
                          where, key.to_text(), other == nullptr ? "" : other->provider, decision.provider);
      decisions.set(key.to_text(), decision);
    }
  } catch (const Json::exception& error) {
    fail<InputError>("{}: {}", where, error.what());
  }
  return decisions;
}

std::vector<std::string> RecordedRun::differences() const {
  std::vector<std::string> lines;
  const auto text = [](const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
  const auto compare = [&](const char* key, const Json& there, const Json& here) {
    if (there != here) lines.push_back(fmt::format("{}: the run had {}, this program has {}", key, text(there), text(here)));
  };
  const auto value = [&](const char* key) { return config.value(key, Json()); };
  compare("commit", value("commit"), kCommit);
  compare("compiler", value("compiler"), kCompiler);
  compare("onednn", value("onednn"), kOneDnnVersion.empty() ? Json() : Json(kOneDnnVersion));
  if (const Json cudnn = value("cudnn"); !cudnn.is_null()) compare("cudnn", cudnn, kernels::cudnn::status());
  const std::string_view instructions = kernels::cpu::instruction_set();
  const Json by_rank = value("instruction_set_by_rank");
  const auto other = std::ranges::find_if(by_rank, [&](const Json& theirs) { return theirs != instructions; });
  if (other != by_rank.end()) {
    compare(fmt::format("instruction_set_by_rank, rank {}", other - by_rank.begin()).c_str(), *other, instructions);
  }
  return lines;
}

}  // namespace apam::training
