// Google Benchmark over every operation x problem of the nets x pass x provider, at the batch that each net is trained
// with. Names are OPERATION/NET/LAYER/PASS/PROVIDER, e.g. conv2d/resnet18/layer1.0.conv1/forward/onednn. Counters: flop, the
// operations of the direct method a second; byte, the bytes that must move at least a second. An implementation that does
// not compute what it should is not timed: its line says what is wrong, and the program ends with 1.
#include <benchmark/benchmark.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "bench/verify.h"
#include "kernels/runtime/parallel.h"
#include "tests/cases/cases.h"

namespace {

using namespace apam;
using namespace apam::kernels;

struct Session {
  explicit Session(int threads) : exec({.threads = threads}) {}
  Exec exec;
  bool refused = false;
};

/// The operands of one problem. Google Benchmark calls a benchmark several times over: they are drawn once.
template <class Op>
struct Operands {
  std::unique_ptr<Trial<Op>> trial;
  typename Op::Problem problem{};

  Trial<Op>& of(Exec& exec, const typename Op::Problem& wanted) {
    if (!trial || problem != wanted) {
      trial.reset();  // before the next, so that memory holds one
      trial = std::make_unique<Trial<Op>>(exec, wanted);
      problem = wanted;
    }
    return *trial;
  }
};

/// One benchmark: verified at its first call, timed at every one.
template <class Op>
class Timing {
 public:
  Timing(Session& session, std::shared_ptr<Operands<Op>> operands, const Implementation<Op>& implementation,
         const typename Op::Problem& problem, typename Op::Pass pass)
      : session_(session), operands_(std::move(operands)), implementation_(implementation), problem_(problem), pass_(pass) {}

  void operator()(benchmark::State& state) {
    Exec& exec = session_.exec;
    if (!verified_) objection_ = bench::verify(exec, implementation_, problem_, pass_);
    verified_ = true;
    if (!objection_.empty()) {
      session_.refused = true;
      return state.SkipWithError(objection_.c_str());
    }
    auto& trial = operands_->of(exec, problem_);
    const auto kernel = implementation_.make(exec, problem_);
    trial.prepare(pass_);
    trial.run(exec, *kernel, pass_);  // first touch of what it writes
    for (auto _ : state) {
      trial.run(exec, *kernel, pass_);
      exec.synchronize();
    }
    using benchmark::Counter;
    state.counters["flop"] = Counter(trial.flops(pass_), Counter::kIsIterationInvariantRate);
    state.counters["byte"] = Counter(trial.bytes(pass_), Counter::kIsIterationInvariantRate);
  }

 private:
  Session& session_;
  std::shared_ptr<Operands<Op>> operands_;
  const Implementation<Op>& implementation_;
  typename Op::Problem problem_;
  typename Op::Pass pass_;
  bool verified_ = false;
  std::string objection_;
};

template <class Op>
void register_timings(Session& session, int batch, bool with_reference) {
  const auto operands = std::make_shared<Operands<Op>>();
  for (const auto& [name, problem] : cases::net_cases<Op>(batch)) {
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      for (const auto& implementation : implementations<Op>()) {
        if (implementation.device != session.exec.device().kind || !implementation.supports(problem, pass)) continue;
        if (implementation.provider == "reference" && !with_reference) continue;
        const auto title = fmt::format("{}/{}/{}/{}", Op::name, name, Op::pass_names[index], implementation.provider);
        const auto timing = std::make_shared<Timing<Op>>(session, operands, implementation, problem, pass);
        benchmark::RegisterBenchmark(title.c_str(), [timing](benchmark::State& state) { (*timing)(state); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  int threads = available_cores();
  int batch = 0;
  bool with_reference = false;
  CLI::App app("kernels: times every provider on the problems of the nets", "kernels");
  app.add_option("--threads", threads, "[all cores]")->check(CLI::Range(1, 4096));
  app.add_option("--batch", batch, "Images [the batch that each net is trained with]")->check(CLI::Range(1, 1 << 16));
  app.add_flag("--reference", with_reference, "Time the naive loops too (slow)");
  app.allow_extras();
  app.footer(
      "Further options are Google Benchmark's: --benchmark_list_tests, --benchmark_filter=REGEX, --benchmark_out=FILE, ...");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  std::vector<std::string> remaining = app.remaining();
  std::vector<char*> arguments{argv[0]};
  for (std::string& argument : remaining) arguments.push_back(argument.data());
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;

  Session session(threads);
  for_each_operation([&]<class Op>() { register_timings<Op>(session, batch, with_reference); });
  benchmark::AddCustomContext("threads", std::to_string(threads));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return session.refused ? 1 : 0;
}
