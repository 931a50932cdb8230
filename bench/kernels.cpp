// Times every operation x problem of the nets x pass x provider at the batch size each net is trained with. Prints rates,
// shares of the machine's peak, and ratios to oneDNN or cuDNN (bench/kernel_report.h).
//
// The providers of a problem alternate in rounds, and the fastest round of each is reported: on a shared machine slower rounds
// were disturbed. An implementation with wrong results is not timed: its line reports the fault, and the exit code is 1.
//
// `auto` chooses from scratch in every run, on a separate Exec, unless --kernel-cache names a folder with timings, or --no-auto
// leaves it out. If its choice looks slower than oneDNN, the row is timed again for longer, and the longer timing is reported.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "bench/alternate_timing.h"
#include "bench/kernel_report.h"
#include "bench/machine/machine.h"
#include "bench/program.h"
#include "bench/verify.h"
#include "kernels/comparison.h"
#include "kernels/median.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/cores.h"
#include "tests/cases/cases.h"

namespace {

using namespace apam;
using namespace apam::kernels;

/// A choice of `auto` counts as slower than another kernel above this ratio: `auto` keeps the first provider of the table
/// unless another leads by more than `lead`, and repeated timings differ by up to `guard`.
constexpr double kTolerance = ComparisonRules{}.guard * ComparisonRules{}.lead;

/// Of the operands. An odd one: optimizer steps without weight decay, as in training by default.
constexpr std::uint64_t kSeed = 1;

/// Calls of a kernel per timing on a GPU: a graph, timed by the device's clock, so that launches do not count.
constexpr int kCallsOnGpu = 20;

struct Options {
  Device device{};
  int threads = available_cores();
  int batch = 0;
  std::string precision = "float32";
  std::vector<std::string> nets, ops, passes, providers;
  std::vector<int> gradients{1};  // of an optimizer step
  bool with_reference = false;
  bool check_auto = false, no_auto = false;
  bench::Rounds rounds{.min_rounds = 7, .min_milliseconds = 30, .max_rounds = 2000};
  std::string kernel_cache, json;

  static bool wants(const std::vector<std::string>& wanted, std::string_view name) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
  }
};

template <class Op>
constexpr bool kArithmetic = std::is_same_v<Op, Conv2d> || std::is_same_v<Op, Linear>;

/// The provider that `auto` chooses.
template <class Op>
std::string choice_of_auto(const Options& options, const typename Op::Problem& problem, typename Op::Pass pass) {
  Exec exec({.device = options.device, .threads = options.threads, .tuning_cache = options.kernel_cache});
  kernel<Op>(exec, problem, pass);
  return exec.report().back().provider;
}

/// The providers of one pass, and the kernels of those that passed verification.
template <class Op>
struct TimedKernels {
  std::vector<bench::ProviderTime> providers;  // including refused ones
  std::vector<std::unique_ptr<typename Op::Kernel>> kernels;
  std::vector<std::size_t> places;  // kernels[i] belongs to providers[places[i]]
};

/// Verifies the implementations of one pass and makes a kernel of each correct one.
template <class Op>
TimedKernels<Op> verified_kernels(const Options& options, Exec& exec, bench::Verifier<Op>& verifier,
                                  const typename Op::Problem& problem, typename Op::Pass pass) {
  TimedKernels<Op> result;
  for (const auto& implementation : implementations<Op>()) {
    if (implementation.device != exec.device().kind || !implementation.supports(problem, pass)) continue;
    if (implementation.provider == "reference" && !options.with_reference) continue;
    if (!Options::wants(options.providers, implementation.provider)) continue;
    std::string objection;
    try {
      objection = verifier.objection(implementation, pass);
    } catch (const KernelError&) {  // a library or a device may refuse only now
      continue;
    }
    result.providers.push_back({std::string(implementation.provider)});
    result.providers.back().objection = std::move(objection);
    if (!result.providers.back().objection.empty()) continue;
    result.places.push_back(result.providers.size() - 1);
    result.kernels.push_back(implementation.make(exec, problem, pass));
  }
  return result;
}

template <class Op>
void time_kernels(const bench::Rounds& rounds, Exec& exec, support::KernelCheck<Op>& samples, typename Op::Pass pass,
                  TimedKernels<Op>& timed) {
  samples.prepare(pass);
  std::vector<Graph> graphs;
  for (std::size_t i = 0; Graph::supported(exec.device()) && i < timed.kernels.size(); ++i) {
    samples.run(exec, *timed.kernels[i], pass);
    graphs.emplace_back(exec.stream(), [&] {
      for (int call = 0; call < kCallsOnGpu; ++call) samples.run(exec, *timed.kernels[i], pass);
    });
  }
  auto times = bench::time_alternately(timed.kernels.size(), rounds, [&](std::size_t i) {
    if (graphs.empty()) return exec.stream().time([&] { samples.run(exec, *timed.kernels[i], pass); });
    return exec.stream().time([&] { graphs[i].replay(exec.stream()); }) / kCallsOnGpu;
  });
  for (std::size_t i = 0; i < times.size(); ++i) {
    timed.providers[timed.places[i]].best = *std::min_element(times[i].begin(), times[i].end());
    timed.providers[timed.places[i]].median = median(times[i]);
  }
}

/// For rows whose first timing is inconclusive.
bench::Rounds longer(bench::Rounds rounds) {
  constexpr int kFactor = 8;
  rounds.min_rounds *= kFactor;
  rounds.max_rounds *= kFactor;
  rounds.min_milliseconds *= kFactor;
  return rounds;
}

/// The problems of the nets; those of optimizer steps for every number of gradients.
template <class Op>
std::vector<cases::Case<Op>> timed_cases(const Options& options) {
  std::vector<cases::Case<Op>> timed;
  for (auto& one : cases::net_cases<Op>(options.batch, options.nets)) {
    if constexpr (requires { one.problem.type; }) one.problem.type = parse_precision(options.precision);
    if constexpr (std::is_same_v<Op, OptimizerStep>) {
      for (const int gradients : options.gradients) timed.emplace_back(one).problem.gradients = gradients;
    } else {
      timed.push_back(std::move(one));
    }
  }
  return timed;
}

/// Times and appends the rows of one operation; prints each row once it is complete.
template <class Op>
void add_rows(const Options& options, Exec& exec, const bench::Limits& limits, std::vector<bench::KernelRow>& rows) {
  if (!Options::wants(options.ops, Op::name)) return;
  for (const auto& [name, problem, layers, passes] : timed_cases<Op>(options)) {
    bench::Verifier<Op> verifier(exec, problem);
    support::KernelCheck<Op> samples(exec, problem, kSeed);
    for (const auto pass : passes) {
      const auto index = static_cast<std::size_t>(pass);
      if (!Options::wants(options.passes, Op::pass_names[index])) continue;
      bench::KernelRow row{.op = std::string(Op::name),
                           .name = name,
                           .problem = problem.describe(),
                           .pass = std::string(Op::pass_names[index]),
                           .flops = samples.flops(pass),
                           .bytes = samples.bytes(pass),
                           .arithmetic = kArithmetic<Op>,
                           .layers = layers};
      auto timed = verified_kernels<Op>(options, exec, verifier, problem, pass);
      time_kernels<Op>(options.rounds, exec, samples, pass, timed);
      row.times = timed.providers;
      if (row.times.size() > 1 && !options.no_auto) row.chosen = choice_of_auto<Op>(options, problem, pass);
      if (row.speedup("onednn", "auto").value_or(1) > kTolerance) {
        time_kernels<Op>(longer(options.rounds), exec, samples, pass, timed);
        row.times = timed.providers;
      }
      if (rows.empty() || rows.back().op != row.op) std::cout << bench::heading(row, limits);
      std::cout << bench::line(row, limits) << std::flush;
      rows.push_back(std::move(row));
    }
  }
}

/// Copies on the device; the peak of its arithmetic is not measured.
bench::Limits measure_limits_of_gpu(const Exec& exec) {
  constexpr std::size_t kBytes = std::size_t{1} << 30U;
  const Buffer from(exec.device(), kBytes), to(exec.device(), kBytes);
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < 10; ++round) {
    best = std::min(best, exec.stream().time([&] { copy(exec, from.as<float>(), to.as<float>()); }));
  }
  const bench::Limits limits{.gbytes = 2 * kBytes / best * 1e-6};
  std::cout << fmt::format("copy on the device, read + written {:>7.1f} GB/s\n", limits.gbytes);
  return limits;
}

bench::Limits measure_limits(int threads) {
  bench::Limits limits{.gbytes = bench::copy_bandwidth(threads)};
  for (const auto& [isa, gflops] : bench::fma_rates(threads)) {
    std::cout << fmt::format("multiply-adds, {:<9}{:>7.1f} GFLOP/s\n", isa, gflops);
    if (gflops <= limits.gflops) continue;
    limits.gflops = gflops;
    limits.fastest = isa;
  }
  std::cout << fmt::format("memcpy, read + written {:>7.1f} GB/s\n", limits.gbytes);
  return limits;
}

/// Prints every choice of `auto` that is slower than another provider. Returns how many are slower than oneDNN.
int check_auto(const std::vector<bench::KernelRow>& rows) {
  int slower = 0, checked = 0;
  for (const bench::KernelRow& row : rows) {
    if (row.chosen.empty()) continue;
    ++checked;
    for (const bench::ProviderTime& other : row.times) {
      const auto ratio = row.speedup(other.provider, "auto");
      if (!ratio || *ratio <= kTolerance) continue;
      std::cout << fmt::format("auto chose {} for {}/{}/{}, but {} is {:.2f} times as fast\n", row.chosen, row.op, row.name,
                               row.pass, other.provider, *ratio);
      if (other.provider == "onednn") ++slower;
    }
  }
  std::cout << fmt::format("auto: {} choices, {} slower than onednn by more than {:.0f} %\n", checked, slower,
                           (kTolerance - 1) * 100);
  return slower;
}

int run(const Options& options) {
  Exec exec({.device = options.device, .threads = options.threads});
  const bool gpu = options.device.kind == DeviceKind::cuda;
  const bench::Limits limits = gpu ? measure_limits_of_gpu(exec) : measure_limits(options.threads);
  std::vector<bench::KernelRow> rows;
  for_each_operation([&]<class Op>() { add_rows<Op>(options, exec, limits, rows); });
  const auto listed = [](const auto& names) {
    return names.empty() ? std::string("all") : fmt::format("{}", fmt::join(names, " "));
  };
  const bool timed = std::any_of(rows.begin(), rows.end(), [](const auto& row) { return !row.times.empty(); });
  require<InputError>(timed, "no problem of net {} has op {} with pass {} by provider {}", listed(options.nets),
                      listed(options.ops), listed(options.passes), listed(options.providers));
  std::cout << bench::summary(rows);
  const int slower = options.no_auto ? 0 : check_auto(rows);
  if (!options.json.empty()) {
    auto json = bench::to_json(rows, limits);
    json["device"] = to_string(options.device);
    json["threads"] = options.threads;
    json["precision"] = options.precision;
    write_file(options.json, json.dump(2) + "\n");
  }
  const bool refused = std::any_of(rows.begin(), rows.end(), [](const auto& row) {
    return std::any_of(row.times.begin(), row.times.end(), [](const auto& time) { return !time.objection.empty(); });
  });
  return refused || (options.check_auto && slower > 0) ? 1 : 0;
}

/// Those of this build, and those that it may lack: the same command line is for all builds.
std::set<std::string> provider_names() {
  std::set<std::string> names{"cudnn", "onednn", "tma"};
  for_each_operation([&]<class Op>() {
    for (const auto& implementation : implementations<Op>()) names.emplace(implementation.provider);
  });
  return names;
}

std::vector<std::string> operation_names() {
  std::vector<std::string> names;
  for_each_operation([&]<class Op>() { names.emplace_back(Op::name); });
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("kernels: times every provider on the problems of the nets", "kernels");
  std::vector<std::string> nets;
  for (const cases::TrainedNet& net : cases::trained_nets()) nets.emplace_back(net.name);
  app.add_option("--net", options.nets, "One or more of allcnn, resnet18, wrn28-5 [all]")->check(CLI::IsMember(nets));
  app.add_option("--op", options.ops, "One or more operations, e.g. conv2d [all]")->check(CLI::IsMember(operation_names()));
  app.add_option("--pass", options.passes, "One or more passes, e.g. backward_weight [all]");
  app.add_option("--provider", options.providers,
                 "One or more of native, tma, onednn and cudnn, as far as the build has them [all]")
      ->check(CLI::IsMember(provider_names()));
  std::string device = "cpu";
  app.add_option("--device", device, "cpu, cuda or cuda:INDEX")->capture_default_str();
  app.add_option("--threads", options.threads, "[all cores]")->check(bench::number(1, 1024));
  app.add_option("--batch", options.batch, "Batch size [that of each net's training]")->check(bench::number(1, 1 << 16));
  app.add_option("--precision", options.precision, "Type of activations: float32 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"float32", "bf16"}));
  app.add_option("--gradients", options.gradients, "One or more numbers of gradients that an optimizer step applies at once")
      ->capture_default_str()
      ->check(bench::number(1, OptimizerStep::kMostGradients));
  app.add_option("--rounds", options.rounds.min_rounds, "Minimum number of rounds")
      ->capture_default_str()
      ->check(bench::number(1, 1000));
  app.add_option("--milliseconds", options.rounds.min_milliseconds, "Minimum total time per provider, in milliseconds")
      ->capture_default_str()
      ->check(bench::number(0, 1e6));
  app.add_flag("--reference", options.with_reference, "Also time the naive loops (slow)");
  app.add_flag("--no-auto", options.no_auto, "Do not ask which provider auto chooses");
  app.add_flag("--check-auto", options.check_auto, "Exit code 1 if a choice of auto is slower than onednn")
      ->excludes("--no-auto");
  app.add_option("--kernel-cache", options.kernel_cache, "Folder of kernel timings for auto [none: always time again]");
  app.add_option("--json", options.json, "Also write the results to this file");
  return bench::run_program(app, argc, argv, [&] {
    if (options.nets.empty()) options.nets = nets;
    options.device = parse_device(device);
    return run(options);
  });
}
