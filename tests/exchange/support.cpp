#include "tests/exchange/support.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "apam/exchange/drivers/loop.h"
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

std::vector<std::vector<int>> Recorder::passes() const {
  std::vector<std::vector<int>> result;
  for (const UpdateRecord& record : records) {
    if (record.place == 1) result.emplace_back();
    result.back().push_back(record.worker);
  }
  return result;
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

engine::OptimizerOptions momentum(double learning_rate, double momentum, bool nesterov) {
  using Rule = kernels::OptimizerStep::Rule;
  return {.rule = nesterov ? Rule::nesterov : Rule::momentum, .learning_rate = learning_rate, .momentum = momentum};
}

HistoryLayout history_layout(const QuadraticOptions& quadratic, int workers) {
  const auto layout = quadratic_layout(quadratic);
  return {layout.weights_size(), layout.statistics_size(), 1, HistoryLayout::slots_for(workers, 0)};
}

Model::Model(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, int workers)
    : Model(quadratic, options, history_layout(quadratic, workers)) {}

Model::Model(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, const HistoryLayout& layout)
    : arena({}, quadratic_layout(quadratic), engine::ParameterArena::Contents::state),
      updater(exec, arena, options),
      history(Device{}, layout) {
  arena.initialize(0);
  history.publish_first(arena.state());
}

void HandDriven::on(std::span<const Event> events, double at) {
  latest_.clear();
  cancelled_.clear();
  carry_out(master_.on(events, at), *this, observer_);
}

Reply HandDriven::join(int worker) {
  const Event event = Joined{worker};
  on(std::span(&event, 1));
  return latest(worker).reply;
}

Reply HandDriven::take(const GradientMessage& message, double at) {
  const Event event = GradientReady{message};
  on(std::span(&event, 1), at);
  return latest(message.worker).reply;
}

void HandDriven::send(int worker, const Reply& reply, const VersionRef& version) {
  latest_[worker] = {reply, version ? version.weights() : ConstSpan<float>()};
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
  WeightHistory history(source.arena().state(), in_place(source.arena().layout()));
  history.publish_first(source.arena().state());
  MasterState master(updater, history, {.schedule = schedule});
  ScriptedControl control;
  train_directly(master, source, control, recorder);
  return values(source.arena().state());
}

engine::ParameterArena make_second(const QuadraticOptions& quadratic) { return {{}, quadratic_layout(quadratic)}; }

std::vector<float> replay(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, int workers,
                          const std::vector<std::vector<int>>& passes, Between between, const StalenessPolicy* policy) {
  HistoryLayout layout = history_layout(quadratic, workers);
  layout.slots += workers;  // for a policy that compensates gradients computed ahead
  Model model(quadratic, options, layout);
  const bool ahead = between == Between::compute_ahead;
  std::vector<engine::ParameterArena> arenas;
  std::vector<Span<float>> seconds;
  for (int worker = 0; worker < workers; ++worker) {
    if (ahead) arenas.push_back(make_second(quadratic));
    seconds.push_back(ahead ? arenas.back().outgoing() : Span<float>());
  }
  const auto sources = make_sources(quadratic, std::vector<std::chrono::milliseconds>(static_cast<std::size_t>(workers)));
  const auto each_source = pointers(sources);
  ScriptedTransport transport(each_source, seconds, passes);
  Recorder recorder;
  std::int64_t updates = 0;
  for (const auto& pass : passes) updates += static_cast<std::int64_t>(pass.size());
  MasterState master(model.updater, model.history,
                     {.workers = workers, .schedule = {updates}, .policy = policy, .ahead = ahead});
  ScriptedControl control;
  run_master(master, transport, control, recorder);
  return model.state();
}

// A worker has one gradient in flight. Let its gradients be the updates u_1 < u_2 < ... < u_m, and g_i the version that it was
// sent after u_i: the last one of the pass of u_i. The (i+1)-th was computed on it (the first on version 0), so
// tau_i + 1 = u_i - g_(i-1). With d_i = g_i - u_i >= 0, the updates that follow u_i in its pass, the sum of tau_i + 1 over the
// worker's updates telescopes to u_m - (d_1 + ... + d_(m-1)). With L_w = the last update of worker w, K updates, and D = the
// sum of all these d:   sum of tau + D = (sum over w of L_w) - K.
//
// The L_w are distinct and at most K, so their sum is at most N K - N (N-1) / 2. A worker waits or stops only when nothing is
// left to deal; the others then hold at most two leases each. So the worker that stops while r others work has
// L_w >= K - 2 r, and the sum is at least N K - N (N-1). Therefore
//
//   N - 1 - N (N-1) / K  <=  mean tau + D / K  <=  N - 1 - N (N-1) / (2 K)          (every worker has an update: K >= N)
//
// Computed ahead, the (i+2)-th was computed on g_i (the first two on version 0): tau_i + 1 = u_i - g_(i-2). The sum telescopes
// to u_m + u_(m-1) less d_1 ... d_(m-2). So it has the last two updates of every worker, which are distinct:
//
//   mean tau + D / K  <=  2 N - 1 - N (2 N - 1) / K
//
// A lower bound does not exist: the last computation of a worker may last as long as the run. The publish lag of the (i+2)-th
// is g_(i+1) - g_i.
void expect_lawful(const Recorder& recorder, const Staleness& staleness, int workers, std::int64_t updates, Between between) {
  ASSERT_EQ(static_cast<std::int64_t>(recorder.records.size()), updates);
  auto batches = recorder.batches();
  std::sort(batches.begin(), batches.end());
  std::vector<std::int64_t> expected(static_cast<std::size_t>(updates));
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(batches, expected) << "every batch exactly once";

  struct Sent {
    std::int64_t version = 0, after = 0;  // u_i
  };
  const auto count = static_cast<std::size_t>(workers);
  const bool ahead = between == Between::compute_ahead;
  std::vector<Sent> given(count), used(count);  // by worker: sent last, and of its next gradient
  std::vector<std::int64_t> last(count, 0), before_last(count, 0), made(count, 0);
  std::int64_t sooner = 0, lags = 0, most_lag = 0;  // D
  std::size_t i = 0;
  for (const auto& pass : recorder.passes()) {
    const auto version = static_cast<std::int64_t>(i + pass.size());
    for (std::size_t j = 0; j < pass.size(); ++j, ++i) {
      const UpdateRecord& record = recorder.records[i];
      const auto worker = static_cast<std::size_t>(record.worker);
      EXPECT_EQ(record.update, static_cast<std::int64_t>(i) + 1);
      EXPECT_EQ(record.header.computed_at, used.at(worker).version);
      EXPECT_EQ(record.staleness + 1, record.update - used[worker].version);
      EXPECT_EQ(record.publish_lag, given[worker].version - used[worker].version);
      lags += record.publish_lag;
      most_lag = std::max(most_lag, record.publish_lag);
      sooner += used[worker].version - used[worker].after;
      before_last[worker] = std::exchange(last[worker], record.update);
      const Sent sent{version, record.update};
      used[worker] = ahead ? given[worker] : sent;
      given[worker] = sent;
      ++made[worker];
    }
  }
  const auto total = [](const std::vector<std::int64_t>& values) {
    return std::accumulate(values.begin(), values.end(), std::int64_t{0});
  };
  const auto taus = recorder.staleness();
  const std::int64_t sum = total(taus);
  EXPECT_EQ(sum + sooner, total(last) + (ahead ? total(before_last) : 0) - updates) << "the sum telescopes";
  EXPECT_EQ(staleness.updates(), updates);
  EXPECT_EQ(staleness.by_worker(), made);
  EXPECT_EQ(staleness.max(), *std::max_element(taus.begin(), taus.end()));
  EXPECT_EQ(staleness.max_publish_lag(), most_lag);
  EXPECT_DOUBLE_EQ(staleness.mean(), static_cast<double>(sum) / static_cast<double>(updates));
  EXPECT_DOUBLE_EQ(staleness.mean_publish_lag(), static_cast<double>(lags) / static_cast<double>(updates));
  const double n = workers, k = static_cast<double>(updates);
  const double mean = staleness.mean() + static_cast<double>(sooner) / k;
  if (ahead && updates >= 2 * workers) {
    EXPECT_LE(mean, 2 * n - 1 - n * (2 * n - 1) / k + 1e-12);
  } else if (!ahead && updates >= workers) {
    EXPECT_GE(mean, n - 1 - n * (n - 1) / k - 1e-12);
    EXPECT_LE(mean, n - 1 - n * (n - 1) / (2 * k) + 1e-12);
  }
}

}  // namespace apam::exchange::test
