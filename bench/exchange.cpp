// Emulates asynchronous training, to measure its exchange without a net: workers sleep in place of computing and exchange
// gradients and weights of full size.
//
//   mpiexec.mpich -n 13 build/bench/exchange --parameters 11173962 --compute-ms 50 --updates 400 --mode shared serial
//
// With --masters M ranks 0 .. M-1 are masters, not of the mode serial.
//
// Modes: serial (one loop of blocking messages: receive, update, reply), pipelined (--transport mpi), prefetched (the same with
// --prefetch-weights) and shared (--transport shared). Several modes alternate, --rounds times, so that a disturbance of the
// machine affects all of them; the ratios are to the last mode. service_ms is the time of the master per update: receive,
// update and reply, without waiting. copied_during_updates is the share of copied_bytes in messages that ended while the master
// did not call its transport. bare_update_ms is the time of the optimizer for the same passes, without an exchange.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/training/version.h"
#include "bench/exchange/program.h"
#include "bench/exchange/run.h"
#include "kernels/median.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/run_clock.h"
#include "kernels/tuning_cache.h"

namespace {

using namespace apam;
using namespace apam::bench;
using exchange::mpi::Environment;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

struct Options {
  ExchangeSettings settings;
  std::vector<std::string> modes{"shared"};
  int rounds = 1;
  std::string json;
};

using PassSeconds = std::array<double, kMostTogether>;

/// Updates without an exchange, with as many gradients in memory as one pass may have.
class BareUpdates {
 public:
  BareUpdates(const ExchangeSettings& settings, int most)
      : exec_({.threads = settings.master_threads}),
        arena_({}, flat_layout(settings.parameters), engine::ParameterArena::Contents::state),
        updater_(exec_, arena_, {}),
        next_({}, arena_.state().size_bytes()) {
    arena_.initialize(1);
    updater_.choose_kernels(most);
    for (int worker = 0; worker < most; ++worker) {
      memory_.emplace_back(Device{}, arena_.state().size_bytes());
      fill_gradient(worker, memory_.back().as<float>());
      gradients_.emplace_back(memory_.back().as<float>());
    }
  }

  /// Median seconds of a pass of k gradients, [k - 1].
  PassSeconds time() {
    PassSeconds seconds{};
    for (std::size_t k = 1; k <= gradients_.size(); ++k) {
      std::vector<double> times;
      for (int run = 0; run < 5; ++run) {
        const auto begin = Clock::now();
        updater_.apply_each(std::span(gradients_).first(k), arena_.state(), next_.as<float>());
        times.push_back(seconds_between(begin, Clock::now()));
      }
      seconds[k - 1] = kernels::median(times);
    }
    return seconds;
  }

 private:
  Exec exec_;
  engine::ParameterArena arena_;
  engine::Updater updater_;
  Buffer next_;
  std::vector<Buffer> memory_;
  std::vector<ConstSpan<float>> gradients_;
};

/// Every update was made once, on versions that the workers had, and shared memory copied nothing.
void check(const ExchangeResult& result, const std::string& mode, const ExchangeSettings& settings, int workers) {
  std::int64_t updates = 0;
  for (std::size_t k = 0; k < result.passes.size(); ++k) updates += static_cast<std::int64_t>(k + 1) * result.passes[k];
  require<Error>(updates == settings.updates, "{}: {} updates, expected {}", mode, updates, settings.updates);
  // With one gradient in flight per worker, the sum of tau + 1 telescopes: its mean is at most the number of workers, or twice
  // as much if they prefetch weights.
  const int most = mode == "prefetched" ? 2 * workers : workers;
  require<Error>(result.mean_staleness + 1 <= most, "{}: mean staleness {}, expected at most {}", mode, result.mean_staleness,
                 most - 1);
  require<Error>((result.copied_bytes == 0) == (mode == "shared"), "{}: {} bytes copied", mode, result.copied_bytes);
}

Json describe(const ExchangeResult& result, const PassSeconds& bare) {
  const double updates = [&] {
    double sum = 0;
    for (std::size_t k = 0; k < result.passes.size(); ++k)
      sum += static_cast<double>(k + 1) * static_cast<double>(result.passes[k]);
    return sum;
  }();
  double passes = 0, bare_seconds = 0;
  for (std::size_t k = 0; k < result.passes.size(); ++k) {
    passes += static_cast<double>(result.passes[k]);
    bare_seconds += static_cast<double>(result.passes[k]) * bare[k];
  }
  const auto per_update = [&](double seconds) { return 1e3 * seconds / updates; };
  const ServiceSeconds& parts = result.parts;
  Json pass_ms = Json::array();
  for (const double seconds : bare) pass_ms.push_back(1e3 * seconds);
  return {{"transport", result.transport},
          {"updates_per_second", updates / result.seconds},
          {"gradients_per_pass", updates / passes},
          {"service_ms", per_update(parts.service())},
          {"wait_ms", per_update(parts.wait)},
          {"receive_ms", per_update(parts.receive)},
          {"update_ms", per_update(parts.update)},
          {"reply_ms", per_update(parts.reply)},
          {"bare_update_ms", per_update(bare_seconds)},
          {"bare_pass_ms", pass_ms},
          {"service_to_bare_update", parts.service() / bare_seconds},
          {"copied_bytes", result.copied_bytes},
          {"copied_during_updates", static_cast<double>(result.copied_during_updates) /
                                        static_cast<double>(std::max<std::int64_t>(result.copied_bytes, 1))},
          {"staleness", {{"mean", result.mean_staleness}, {"max", result.max_staleness}}}};
}

ExchangeResult run_mode(const Environment& environment, const std::string& mode, const ExchangeSettings& settings) {
  if (mode == "serial") return run_serial(environment, settings);
  if (mode == "prefetched") return run_prefetched(environment, settings);
  return mode == "pipelined" ? run_pipelined(environment, settings) : run_shared(environment, settings);
}

/// The median, least and largest of a number over the rounds.
Json spread_of(const std::vector<Json>& rounds, const std::string& key) {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const Json& round : rounds) values.push_back(round[key].get<double>());
  std::sort(values.begin(), values.end());
  return {{"median", kernels::median(values)}, {"least", values.front()}, {"largest", values.back()}};
}

Json measure(const Environment& environment, const Options& options) {
  const bool master = environment.rank() == 0;
  const auto& settings = options.settings;
  std::optional<BareUpdates> updates;
  const int workers = environment.ranks() - settings.masters;
  if (master) updates.emplace(settings, std::min(workers, kMostTogether));
  std::map<std::string, std::vector<Json>> rounds;
  for (int round = 0; round < options.rounds; ++round) {
    for (const std::string& mode : options.modes) {
      // Before and after, since the machine may change. The others wait in an all-gather, which sleeps.
      PassSeconds bare{};
      if (master) bare = updates->time();
      all_gather_strings(environment, "ready");
      const double before = processor_seconds();
      const ExchangeResult result = run_mode(environment, mode, settings);
      const auto used = all_gather_strings(environment, fmt::format("{}", processor_seconds() - before));
      if (!master) continue;
      const PassSeconds after = updates->time();
      std::transform(bare.begin(), bare.end(), after.begin(), bare.begin(), [](double a, double b) { return (a + b) / 2; });
      check(result, mode, settings, workers);
      Json json = describe(result, bare);
      json["processor_seconds_by_rank"] = Json::array();
      double sum = 0;
      for (const std::string& text : used) {
        json["processor_seconds_by_rank"].push_back(std::stod(text));
        sum += std::stod(text);
      }
      json["processor_seconds"] = sum;
      rounds[mode].push_back(std::move(json));
    }
  }
  Json modes;
  for (const std::string& mode : options.modes) {
    if (!master) break;
    modes[mode] = {{"updates_per_second", spread_of(rounds[mode], "updates_per_second")},
                   {"service_ms", spread_of(rounds[mode], "service_ms")},
                   {"processor_seconds", spread_of(rounds[mode], "processor_seconds")},
                   {"service_to_bare_update", spread_of(rounds[mode], "service_to_bare_update")},
                   {"rounds", rounds[mode]}};
  }
  // Round by round, since what disturbs one mode of a round disturbs the others.
  for (const std::string& mode : options.modes) {
    if (!master) break;
    std::vector<Json> ratios;
    for (int round = 0; round < options.rounds; ++round) {
      const auto rate = [&](const std::string& name) {
        return rounds[name][static_cast<std::size_t>(round)]["updates_per_second"].get<double>();
      };
      ratios.push_back({{"ratio", rate(mode) / rate(options.modes.back())}});
    }
    modes[mode]["ratio_to_last_mode"] = spread_of(ratios, "ratio");
  }
  return modes;
}

int run(const Environment& environment, const Options& options) {
  const int masters = options.settings.masters;
  require<Mistake>(environment.ranks() > masters, "needs {} and a worker, got {} ranks, start it by {} -n {}",
                   masters == 1 ? "a master" : fmt::format("{} masters", masters), environment.ranks(),
                   exchange::mpi::launcher(), masters + 2);
  for (const std::string& mode : options.modes) {
    require<Mistake>(masters == 1 || mode != "serial", "--masters {}: the mode serial has 1 master", masters);
    require<Mistake>(!options.settings.free || (masters > 1 && mode != "shared"),
                     "--free: is for several masters that exchange messages, got {} and the mode {}", masters, mode);
  }
  const Json modes = measure(environment, options);
  if (environment.rank() != 0) return 0;
  const auto& settings = options.settings;
  const Json all{{"parameters", settings.parameters},
                 {"compute_ms", settings.compute_ms},
                 {"updates", settings.updates},
                 {"masters", settings.masters},
                 {"free", settings.free},
                 {"workers", environment.ranks() - settings.masters},
                 {"master_threads", settings.master_threads},
                 {"wire", settings.wire},
                 {"rounds", options.rounds},
                 {"cpu", kernels::cpu_model()},
                 {"commit", training::kCommit},
                 {"modes", modes}};
  for (const auto& [mode, result] : modes.items()) {
    const Json& last = result["rounds"].back();
    std::cout << fmt::format(
        "{:9} {:7.1f} updates/s ({:.1f} to {:.1f})  {:.2f} ({:.2f} to {:.2f}) x {}  service {:.2f} ms, {:.2f} x the bare "
        "update  {:.2f} per pass  {} bytes copied, {:.0f} % during updates  {:.2f} s of processor time  staleness {:.2f}\n",
        mode, result["updates_per_second"]["median"].get<double>(), result["updates_per_second"]["least"].get<double>(),
        result["updates_per_second"]["largest"].get<double>(), result["ratio_to_last_mode"]["median"].get<double>(),
        result["ratio_to_last_mode"]["least"].get<double>(), result["ratio_to_last_mode"]["largest"].get<double>(),
        options.modes.back(), result["service_ms"]["median"].get<double>(),
        result["service_to_bare_update"]["median"].get<double>(), last["gradients_per_pass"].get<double>(),
        last["copied_bytes"].get<std::int64_t>(), 100 * last["copied_during_updates"].get<double>(),
        result["processor_seconds"]["median"].get<double>(), last["staleness"]["mean"].get<double>());
  }
  if (!options.json.empty()) write_file(options.json, all.dump(2) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Emulates asynchronous training, to measure its exchange: workers sleep in place of computing.", "exchange");
  app.add_option("--parameters", options.settings.parameters, "Parameters of the model")->check(number(16, 1 << 30));
  app.add_option("--compute-ms", options.settings.compute_ms, "Time of a gradient")->check(number(0, 1e6));
  app.add_option("--updates", options.settings.updates, "Updates per round and mode")->check(number(1, 1e12));
  app.add_option("--mode", options.modes, "serial, pipelined, prefetched, shared")
      ->check(CLI::IsMember({"serial", "pipelined", "prefetched", "shared"}));
  app.add_option("--master-threads", options.settings.master_threads, "Threads of an update")->check(number(1, 1024));
  app.add_option("--wire", options.settings.wire, "Type of values in pipelined messages: float32, bf16")
      ->check(CLI::IsMember({"float32", "bf16"}));
  app.add_option("--masters", options.settings.masters, "Masters, not of the mode serial")->check(number(1, 1024));
  app.add_flag("--free", options.settings.free, "Each master orders by itself, in messages");
  app.add_option("--rounds", options.rounds, "Rounds of all modes")->check(number(1, 1e6));
  app.add_option("--json", options.json, "Also write the results to this file");
  return run_ranks(app, argc, argv, [&](const Environment& environment) { return run(environment, options); });
}
