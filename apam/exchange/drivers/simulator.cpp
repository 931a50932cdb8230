#include "apam/exchange/drivers/simulator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <utility>

#include "apam/exchange/error.h"
#include "apam/exchange/master_state.h"
#include "kernels/runtime/philox.h"

namespace apam::exchange {
namespace {

/// The compute times of all gradients, pure functions of worker and number.
class ComputeTimes {
 public:
  explicit ComputeTimes(const SimulationOptions& options) : options_(options) {}

  double next(int worker) {
    const ComputeTime& compute = options_.compute;
    const auto w = static_cast<std::size_t>(worker);
    const Random random(options_.seed, Purpose::sample, static_cast<std::uint64_t>(worker));
    const std::uint64_t i = numbers_.at(w)++;
    double time = compute.mean;
    if (compute.distribution == ComputeTime::Distribution::uniform) {
      time *= 1 + compute.spread * (2.0 * static_cast<double>(random.uniform(i)) - 1);
    } else if (compute.distribution == ComputeTime::Distribution::lognormal) {
      const double sigma = compute.spread;
      time *= std::exp(sigma * static_cast<double>(random.normal(i)) - 0.5 * sigma * sigma);
    }
    return time * (w < options_.slowdown.size() ? options_.slowdown[w] : 1.0);
  }

 private:
  const SimulationOptions& options_;
  std::vector<std::uint64_t> numbers_ = std::vector<std::uint64_t>(static_cast<std::size_t>(options_.workers));
};

/// A model of one parameter: its values do not matter.
struct SmallModel {
  explicit SmallModel(const SimulationOptions& options)
      : exec(reference()),
        arena({}, layout(), engine::ParameterArena::Contents::state_and_outgoing),
        updater(exec, arena, {.rule = kernels::OptimizerStep::Rule::sgd, .learning_rate = 0.1}),
        history(Device{}, {layout().weights_size(), 0, 1, HistoryLayout::slots_for(options.workers, 0)}) {
    history.publish_first(arena.state());
  }

  static engine::ParameterLayout layout() {
    engine::ParameterLayout layout;
    layout.add("w", engine::Shape{1}, engine::Initializer::constant(0));
    return layout;
  }
  static Exec reference() {
    ExecOptions options;
    options.kernels = KernelSelection::parse("*=reference");
    return Exec(options);
  }

  Exec exec;
  engine::ParameterArena arena;
  engine::Updater updater;
  WeightHistory history;
};

/// Something that happens to a worker.
struct Happening {
  enum class What : std::uint8_t {
    computed,  // its gradient waits for the link
    arrived,   // its gradient is at the master
    died,
  };
  double at = 0;
  std::int64_t order = 0;  // ties: first come, first served
  int worker = 0;
  What what = What::computed;
  friend bool operator>(const Happening& a, const Happening& b) { return std::pair(a.at, a.order) > std::pair(b.at, b.order); }
};

struct SimulatedWorker {
  std::vector<std::int64_t> leases;
  std::int64_t version = 0, batch = 0;
  double finished = 0;          // its latest computation
  std::int64_t cancelled = -1;  // version
  double cancelled_at = 0;
  bool dead = false;
};

class AsynchronousSimulation {
 public:
  explicit AsynchronousSimulation(const SimulationOptions& options)
      : options_(options),
        policy_(make_policy(options.policy)),
        model_(options),
        master_(model_.updater, model_.history,
                {.workers = options.workers, .schedule = {options.updates}, .policy = policy_.get()}),
        times_(options),
        workers_(static_cast<std::size_t>(options.workers)) {}

  SimulationResult run() {
    for (const SimulatedDeath& death : options_.deaths) happen(death.at, death.worker, Happening::What::died);
    std::vector<Event> events;
    for (int worker = 0; worker < options_.workers; ++worker) events.emplace_back(Joined{worker});
    carry_out(master_.on(events, 0), 0);
    while (!master_.done() && !happenings_.empty()) step();
    return result();
  }

 private:
  bool serial() const { return options_.mode == SimulatedMode::serial; }
  double transfer(double bytes) const {
    if (options_.mode == SimulatedMode::shared || options_.link.bytes_per_second <= 0) return 0;
    return bytes / options_.link.bytes_per_second;
  }

  void happen(double at, int worker, Happening::What what) { happenings_.push({at, order_++, worker, what}); }

  /// The next gradient goes through the incoming link, which carries one at a time. A serial master receives when it is free.
  void use_link(const Happening& computed) {
    double arrives = computed.at + options_.link.latency;
    if (!serial()) arrives = in_free_ = std::max(in_free_, arrives) + transfer(options_.gradient_bytes);
    happen(arrives, computed.worker, Happening::What::arrived);
  }

  /// One pass of the master: what has arrived when it is free, or else the next that arrives.
  void step() {
    if (happenings_.top().what == Happening::What::computed) {
      const Happening computed = happenings_.top();
      happenings_.pop();
      if (!workers_[static_cast<std::size_t>(computed.worker)].dead) use_link(computed);
      return;
    }
    const double start = std::max(free_, happenings_.top().at);
    const std::int64_t most = serial() ? 1 : MasterState::kMostTogether;
    std::vector<Event> events;
    std::int64_t gradients = 0;
    while (!happenings_.empty() && happenings_.top().at <= start && gradients < most) {
      const Happening next = happenings_.top();
      happenings_.pop();
      SimulatedWorker& worker = workers_.at(static_cast<std::size_t>(next.worker));
      if (worker.dead) continue;
      if (next.what == Happening::What::computed) {
        use_link(next);
      } else if (next.what == Happening::What::died) {
        worker.dead = true;
        events.emplace_back(Departed{next.worker, "death"});
      } else {
        events.emplace_back(GradientReady{message_of(next.worker, worker)});
        ++gradients;
      }
    }
    if (events.empty()) return;
    const std::int64_t before = master_.version();
    const auto actions = master_.on(events, start);
    const auto made = static_cast<double>(master_.version() - before);
    double end = start + static_cast<double>(gradients) * options_.receive;
    if (made > 0) end += options_.first_update + options_.further_update * (made - 1);
    if (serial()) end += static_cast<double>(gradients) * transfer(options_.gradient_bytes);
    passes_ += made > 0 ? 1 : 0;
    last_update_ = made > 0 ? end : last_update_;
    busy_ += end - start;
    free_ = end;
    carry_out(actions, end);
  }

  GradientMessage message_of(int index, const SimulatedWorker& worker) {
    if (worker.cancelled == worker.version && worker.cancelled_at <= worker.finished) {
      return {index, {.computed_at = worker.version, .batch = worker.batch, .cancelled = 1}, {}};
    }
    return {index, {.computed_at = worker.version, .batch = worker.batch, .rows = 1}, model_.arena.outgoing()};
  }

  void carry_out(std::span<const Action> actions, double at) {
    for (const Action& action : actions) {
      if (const auto* cancel = std::get_if<Cancel>(&action)) {
        SimulatedWorker& worker = workers_[static_cast<std::size_t>(cancel->worker)];
        worker.cancelled = cancel->computed_at;
        worker.cancelled_at = at + options_.link.latency;
      }
      const auto* send = std::get_if<Send>(&action);
      if (send != nullptr && send->reply.verdict == Verdict::proceed) start(*send, at);
    }
  }

  /// The worker receives weights that the master sends at `at`, computes, and its gradient travels to the master.
  void start(const Send& send, double at) {
    SimulatedWorker& worker = workers_[static_cast<std::size_t>(send.worker)];
    for (int i = 0; i < send.reply.lease_count; ++i) worker.leases.push_back(send.reply.leases.at(static_cast<std::size_t>(i)));
    worker.batch = worker.leases.front();
    worker.leases.erase(worker.leases.begin());
    worker.version = send.reply.version;
    free_ = std::max(free_, at) + options_.reply;
    busy_ += options_.reply;
    at = free_;
    double& out = serial() ? free_ : out_free_;
    out = std::max(out, at) + transfer(options_.weight_bytes);
    if (serial()) busy_ += transfer(options_.weight_bytes);
    const double received = out + options_.link.latency;
    if (worker.finished > 0) waiting_ += received - worker.finished;
    worker.finished = received + times_.next(send.worker);
    ++computations_;
    happen(worker.finished, send.worker, Happening::What::computed);
  }

  SimulationResult result() const {
    SimulationResult result{.updates = master_.version(), .seconds = last_update_};
    result.updates_per_second = last_update_ > 0 ? static_cast<double>(result.updates) / last_update_ : 0;
    result.staleness_mean = master_.staleness().mean();
    result.staleness_max = master_.staleness().max();
    result.busy = last_update_ > 0 ? std::min(1.0, busy_ / last_update_) : 0;
    result.together = passes_ > 0 ? static_cast<double>(result.updates) / static_cast<double>(passes_) : 0;
    result.waiting = computations_ > 0 ? waiting_ / static_cast<double>(computations_) : 0;
    result.leases = master_.leases();
    return result;
  }

  const SimulationOptions& options_;
  std::unique_ptr<const StalenessPolicy> policy_;
  SmallModel model_;
  MasterState master_;
  ComputeTimes times_;
  std::vector<SimulatedWorker> workers_;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
  std::int64_t order_ = 0, passes_ = 0, computations_ = 0;
  double free_ = 0, in_free_ = 0, out_free_ = 0, busy_ = 0, last_update_ = 0, waiting_ = 0;
};

/// Every update begins when the former one is made. A gradient after the first K is dropped, and its worker begins the
/// next one with the others.
SimulationResult simulate_synchronously(const SimulationOptions& options) {
  const bool all = options.mode == SimulatedMode::sync;
  const int parts = all ? options.workers : options.first_of;
  ComputeTimes times(options);
  std::vector<double> ready(static_cast<std::size_t>(options.workers));  // when each has finished its part
  SimulationResult result{.updates = options.updates};
  double now = 0, busy = 0;
  for (std::int64_t update = 0; update < options.updates; ++update) {
    for (int worker = 0; worker < options.workers; ++worker) {
      ready[static_cast<std::size_t>(worker)] = now + times.next(worker) / parts;
    }
    std::nth_element(ready.begin(), ready.begin() + (parts - 1), ready.end());
    const double computed = ready[static_cast<std::size_t>(parts - 1)];
    result.dropped += options.workers - parts;
    now = computed + options.link.latency + options.all_reduce + options.first_update;
    busy += options.first_update;
  }
  result.seconds = now;
  result.updates_per_second = static_cast<double>(options.updates) / now;
  result.busy = busy / now;
  result.together = 1;
  return result;
}

void check(const SimulationOptions& options) {
  const auto require_time = [](std::string_view what, double value) {
    require<InputError>(std::isfinite(value) && value >= 0, "simulation: {} is {}, expected a finite number, 0 or more", what,
                        value);
  };
  require<InputError>(options.workers >= 1 && options.updates >= 1,
                      "simulation: {} workers make {} updates, expected 1 or more", options.workers, options.updates);
  require<InputError>(std::isfinite(options.compute.mean) && options.compute.mean > 0,
                      "simulation: a gradient takes {} seconds, expected more than 0", options.compute.mean);
  require_time("the spread", options.compute.spread);
  require<InputError>(options.compute.distribution != ComputeTime::Distribution::uniform || options.compute.spread <= 1,
                      "simulation: a uniform spread of {}, expected at most 1", options.compute.spread);
  for (const double factor : options.slowdown) require_time("a slowdown", factor);
  for (const SimulatedDeath& death : options.deaths) {
    require_time("the time of a death", death.at);
    require<InputError>(death.worker >= 0 && death.worker < options.workers, "simulation: worker {} of {} dies", death.worker,
                        options.workers);
  }
  const bool synchronous = options.mode == SimulatedMode::sync || options.mode == SimulatedMode::k_of_n;
  require<InputError>(!synchronous || (options.deaths.empty() && options.policy.name == "none"),
                      "simulation: {} deaths and the policy '{}' in synchronous training, expected none of either",
                      options.deaths.size(), options.policy.name);
  require_time("the latency", options.link.latency);
  require_time("the bandwidth", options.link.bytes_per_second);
  require_time("the size of a gradient", options.gradient_bytes);
  require_time("the size of the weights", options.weight_bytes);
  require_time("the first update", options.first_update);
  require_time("a further update", options.further_update);
  require_time("a receive", options.receive);
  require_time("a reply", options.reply);
  require_time("the all-reduce", options.all_reduce);
  require<InputError>(options.mode != SimulatedMode::k_of_n || (options.first_of >= 1 && options.first_of <= options.workers),
                      "simulation: the first {} of {} workers, expected 1 to all", options.first_of, options.workers);
}

}  // namespace

SimulationResult simulate(const SimulationOptions& options) {
  check(options);
  if (options.mode == SimulatedMode::sync || options.mode == SimulatedMode::k_of_n) return simulate_synchronously(options);
  return AsynchronousSimulation(options).run();
}

}  // namespace apam::exchange
