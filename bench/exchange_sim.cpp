// Simulates asynchronous or synchronous training in virtual time (apam/exchange/drivers/simulator.h).
//
//   exchange_sim OPTIONS.json [--json RESULTS.json]
//
// The file has one object, or a list of them. Keys, with their defaults:
//   mode serial | pipelined | shared | sync | k_of_n      workers 1      masters 1      updates 1000      seed 0
//   compute {distribution constant | uniform | lognormal, mean 1, spread 0}      slowdown [] (by worker)
//   link {latency 0, bytes_per_second 0, half_duplex false}      worker_receive 0      cores 0 (enough)
//   gradient_bytes 0      weight_bytes 0
//   first_update 0      further_update 0      receive 0      reply 0      all_reduce 0      first_of 0
//   deaths [{worker, at}]      policy {name none, bound, gradients, factor}
// An unknown key is an error. Durations are seconds. `speedup` is relative to one worker with the same options.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "apam/exchange/drivers/simulator.h"
#include "bench/program.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"

namespace apam::bench {
namespace {

using Json = nlohmann::ordered_json;
using namespace exchange;

/// The value of every key of an object, each of which must be read.
class Reader {
 public:
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    require<InputError>(object.is_object(), "{}: expected an object, got {}", where_, object.dump());
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  template <class T>
  void read(const char* key, T& value) {
    if (const Json* found = find(key)) value = found->get<T>();
  }
  template <class T>
  void read(const char* key, std::optional<T>& value) {
    if (const Json* found = find(key)) value = found->get<T>();
  }
  const Json* find(const char* key) {
    seen_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  void finish() const {
    for (const auto& [key, value] : object_.items()) {
      require<InputError>(seen_.contains(key), "{}: unknown key '{}'", where_, key);
    }
  }

 private:
  const Json& object_;
  std::string where_;
  std::set<std::string> seen_;
};

template <class Value, std::size_t N>
Value parse(const char* what, const std::string& text, const std::array<std::pair<const char*, Value>, N>& names) {
  for (const auto& [name, value] : names) {
    if (text == name) return value;
  }
  fail<InputError>("simulation: {} '{}' is unknown", what, text);
}

ComputeTime read_compute(const Json& json) {
  using Distribution = ComputeTime::Distribution;
  constexpr std::array<std::pair<const char*, Distribution>, 3> names{
      {{"constant", Distribution::constant}, {"uniform", Distribution::uniform}, {"lognormal", Distribution::lognormal}}};
  ComputeTime compute;
  std::string distribution = "constant";
  Reader reader(json, "compute");
  reader.read("distribution", distribution);
  reader.read("mean", compute.mean);
  reader.read("spread", compute.spread);
  reader.finish();
  compute.distribution = parse("distribution", distribution, names);
  return compute;
}

PolicyOptions read_policy(const Json& json) {
  PolicyOptions policy;
  Reader reader(json, "policy");
  reader.read("name", policy.name);
  reader.read("bound", policy.bound);
  reader.read("gradients", policy.gradients);
  reader.read("factor", policy.factor);
  reader.finish();
  return policy;
}

SimulationOptions read_options(const Json& json) {
  constexpr std::array<std::pair<const char*, SimulatedMode>, 5> modes{{{"serial", SimulatedMode::serial},
                                                                        {"pipelined", SimulatedMode::pipelined},
                                                                        {"shared", SimulatedMode::shared},
                                                                        {"sync", SimulatedMode::sync},
                                                                        {"k_of_n", SimulatedMode::k_of_n}}};
  SimulationOptions options;
  std::string mode = "serial";
  Reader reader(json, "simulation");
  reader.read("mode", mode);
  reader.read("workers", options.workers);
  reader.read("masters", options.masters);
  reader.read("updates", options.updates);
  reader.read("seed", options.seed);
  reader.read("slowdown", options.slowdown);
  reader.read("gradient_bytes", options.gradient_bytes);
  reader.read("weight_bytes", options.weight_bytes);
  reader.read("first_update", options.first_update);
  reader.read("further_update", options.further_update);
  reader.read("receive", options.receive);
  reader.read("reply", options.reply);
  reader.read("worker_receive", options.worker_receive);
  reader.read("cores", options.cores);
  reader.read("all_reduce", options.all_reduce);
  reader.read("first_of", options.first_of);
  if (const Json* compute = reader.find("compute")) options.compute = read_compute(*compute);
  if (const Json* policy = reader.find("policy")) options.policy = read_policy(*policy);
  if (const Json* link = reader.find("link")) {
    Reader of_link(*link, "link");
    of_link.read("latency", options.link.latency);
    of_link.read("bytes_per_second", options.link.bytes_per_second);
    of_link.read("half_duplex", options.link.half_duplex);
    of_link.finish();
  }
  if (const Json* deaths = reader.find("deaths")) {
    for (const Json& death : *deaths) {
      SimulatedDeath& one = options.deaths.emplace_back();
      Reader of_death(death, "death");
      of_death.read("worker", one.worker);
      of_death.read("at", one.at);
      of_death.finish();
    }
  }
  reader.finish();
  options.mode = parse("mode", mode, modes);
  return options;
}

Json simulate_one(const Json& json) {
  const SimulationOptions options = read_options(json);
  SimulationOptions alone = options;
  alone.workers = 1;
  alone.deaths.clear();
  alone.policy = {};
  alone.first_of = 1;
  const SimulationResult result = simulate(options);
  const double single = simulate(alone).updates_per_second;
  const LeaseCounts& leases = result.leases;
  return {{"options", json},
          {"updates", result.updates},
          {"seconds", result.seconds},
          {"updates_per_second", result.updates_per_second},
          {"speedup", result.updates_per_second / single},
          {"staleness", {{"mean", result.staleness_mean}, {"max", result.staleness_max}}},
          {"busy", result.busy},
          {"gradients_per_pass", result.together},
          {"waiting_seconds", result.waiting},
          {"dropped", result.dropped},
          {"leases",
           {{"granted", leases.granted},
            {"applied", leases.applied},
            {"refused", leases.refused},
            {"cancelled", leases.cancelled},
            {"abandoned", leases.abandoned}}}};
}

void run(const std::string& path, const std::string& results) {
  std::ifstream file(path);
  require<InputError>(static_cast<bool>(file), "simulation: {} cannot be read", path);
  Json json, list = Json::array();
  try {
    json = Json::parse(file);
    for (const Json& one : json.is_array() ? json : Json::array({json})) list.push_back(simulate_one(one));
  } catch (const Json::exception& error) {  // no JSON, or a value of another type
    fail<InputError>("simulation: {}: {}", path, error.what());
  }
  const std::string text = (json.is_array() ? list : list[0]).dump(2) + "\n";
  if (results.empty()) {
    std::cout << text;
  } else {
    write_file(results, text);
  }
}

}  // namespace
}  // namespace apam::bench

int main(int argc, char** argv) {
  CLI::App app("Simulates a training in virtual time", "exchange_sim");
  std::string path, results;
  app.add_option("OPTIONS", path, "JSON file, see bench/exchange_sim.cpp")->required();
  app.add_option("--json", results, "Write the results here, not to standard output");
  return apam::bench::run_program(app, argc, argv, [&] {
    apam::bench::run(path, results);
    return 0;
  });
}
