#include "tests/exchange/support.h"

#include <algorithm>
#include <numeric>

#include "apam/exchange/local/direct.h"
#include "apam/exchange/local/scripted.h"

namespace apam::exchange::test {
namespace {

template <class T, class Get>
std::vector<T> each(const std::vector<UpdateRecord>& records, Get get) {
  std::vector<T> result;
  std::transform(records.begin(), records.end(), std::back_inserter(result), get);
  return result;
}

}  // namespace

std::vector<std::int64_t> Recorder::staleness() const {
  return each<std::int64_t>(records, [](const UpdateRecord& record) { return record.staleness; });
}
std::vector<int> Recorder::workers() const {
  return each<int>(records, [](const UpdateRecord& record) { return record.worker; });
}
std::vector<std::int64_t> Recorder::batches() const {
  return each<std::int64_t>(records, [](const UpdateRecord& record) { return record.header.batch; });
}

Exec plain_exec() {
  ExecOptions options;
  options.kernels = KernelSelection::parse("*=reference");
  return Exec(options);
}

engine::OptimizerOptions sgd(double learning_rate) {
  return {.rule = kernels::OptimizerStep::Rule::sgd, .learning_rate = learning_rate};
}

engine::OptimizerOptions amsgrad(double learning_rate) {
  return {.rule = kernels::OptimizerStep::Rule::amsgrad, .learning_rate = learning_rate};
}

Model::Model(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options)
    : arena({}, quadratic_layout(quadratic), engine::ParameterArena::Contents::state), updater(exec, arena, options) {
  arena.initialize(0);
}

std::vector<std::unique_ptr<QuadraticSource>> make_sources(QuadraticOptions options,
                                                           const std::vector<std::chrono::milliseconds>& delays) {
  std::vector<std::unique_ptr<QuadraticSource>> sources;
  for (const auto delay : delays) {
    options.delay = delay;
    sources.push_back(std::make_unique<QuadraticSource>(options));
  }
  return sources;
}

std::vector<GradientSource*> pointers(const std::vector<std::unique_ptr<QuadraticSource>>& sources) {
  std::vector<GradientSource*> result;
  for (const auto& source : sources) result.push_back(source.get());
  return result;
}

std::vector<float> values(ConstSpan<float> span) { return {span.host().begin(), span.host().end()}; }

std::vector<float> train_direct(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
                                const Schedule& schedule, Recorder& recorder) {
  QuadraticSource source(quadratic);
  Exec exec = plain_exec();
  engine::Updater updater(exec, source.arena(), options);
  Master master(updater, 1, schedule, recorder);
  ScriptedControl control;
  train_directly(master, source, control);
  return values(source.arena().state());
}

std::vector<float> replay(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, int workers,
                          const std::vector<int>& arrivals) {
  Model model(quadratic, options);
  const auto sources = make_sources(quadratic, std::vector<std::chrono::milliseconds>(static_cast<std::size_t>(workers)));
  const auto each_source = pointers(sources);
  std::vector<std::vector<int>> script;
  for (const int worker : arrivals) script.push_back({worker});
  ScriptedTransport transport(each_source, script);
  Recorder recorder;
  Master master(model.updater, workers, {static_cast<std::int64_t>(arrivals.size())}, recorder);
  ScriptedControl control;
  master.run(transport, control);
  return values(model.arena.state());
}

// A worker has one gradient in flight. If its gradients are the updates u_1 < u_2 < ... < u_m, the i-th was computed on
// version u_(i-1) (the first on version 0), so tau_i + 1 = u_i - u_(i-1), and its sum over the worker's updates is u_m. With
// L_w = the last update of worker w and K updates:   sum of tau = (sum over w of L_w) - K.
//
// The L_w are distinct and at most K, so their sum is at most N K - N (N-1) / 2. A worker stops only when nothing is left to
// deal; the others then hold at most two leases each. So the worker that stops while r others work has
// L_w >= K - 2 r, and the sum is at least N K - N (N-1). Therefore
//
//   N - 1 - N (N-1) / K  <=  mean tau  <=  N - 1 - N (N-1) / (2 K)          (every worker has an update: K >= N)
void expect_lawful(const Recorder& recorder, const Staleness& staleness, int workers, std::int64_t updates) {
  ASSERT_EQ(static_cast<std::int64_t>(recorder.records.size()), updates);
  auto batches = recorder.batches();
  std::sort(batches.begin(), batches.end());
  std::vector<std::int64_t> expected(static_cast<std::size_t>(updates));
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(batches, expected) << "every batch exactly once";

  std::vector<std::int64_t> last(static_cast<std::size_t>(workers), 0), made(static_cast<std::size_t>(workers), 0);
  for (std::size_t i = 0; i < recorder.records.size(); ++i) {
    const UpdateRecord& record = recorder.records[i];
    auto& previous = last.at(static_cast<std::size_t>(record.worker));
    EXPECT_EQ(record.update, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(record.header.computed_at, previous);
    EXPECT_EQ(record.staleness + 1, record.update - previous);
    previous = record.update;
    ++made.at(static_cast<std::size_t>(record.worker));
  }
  const auto taus = recorder.staleness();
  const std::int64_t sum = std::accumulate(taus.begin(), taus.end(), std::int64_t{0});
  EXPECT_EQ(sum, std::accumulate(last.begin(), last.end(), std::int64_t{0}) - updates) << "the sum telescopes";
  EXPECT_EQ(staleness.updates(), updates);
  EXPECT_EQ(staleness.by_worker(), made);
  EXPECT_EQ(staleness.max(), *std::max_element(taus.begin(), taus.end()));
  EXPECT_DOUBLE_EQ(staleness.mean(), static_cast<double>(sum) / static_cast<double>(updates));
  if (updates >= workers) {
    const double n = workers, k = static_cast<double>(updates);
    EXPECT_GE(staleness.mean(), n - 1 - n * (n - 1) / k - 1e-12);
    EXPECT_LE(staleness.mean(), n - 1 - n * (n - 1) / (2 * k) + 1e-12);
  }
}

}  // namespace apam::exchange::test
