#include "apam/exchange/drivers/simulator.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>
#include <utility>

#include "apam/exchange/drivers/compute_times.h"
#include "apam/exchange/drivers/simulated_cores.h"
#include "apam/exchange/error.h"
#include "apam/exchange/master_state.h"

namespace apam::exchange {
namespace {

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

/// Something that happens to a worker at a time that is known in advance.
struct Happening {
  enum class What : std::uint8_t {
    computed,   // its gradient travels
    reached,    // its gradient waits for the link
    delivered,  // its weights have come
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

/// Messages that wait for a link, which carries one at a time.
struct SimulatedQueue {
  struct Message {
    SimulatedCores::Job::What what{};
    int worker = 0;
  };
  std::deque<Message> waiting;
  bool busy = false;
};

/// The master's thread sends one after the other.
struct SimulatedReply {
  int worker = 0;
  Reply reply;
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
        workers_(static_cast<std::size_t>(options.workers)),
        cores_(options.cores) {}

  SimulationResult run() {
    for (const SimulatedDeath& death : options_.deaths) happen(death.at, death.worker, Happening::What::died);
    std::vector<Event> events;
    events.reserve(workers_.size());
    for (int worker = 0; worker < options_.workers; ++worker) events.emplace_back(Joined{worker});
    take(master_.on(events, 0));
    reply_next();
    while (step()) continue;
    return result();
  }

 private:
  using Job = SimulatedCores::Job;

  bool serial() const { return options_.mode == SimulatedMode::serial; }
  double transfer(double bytes) const {
    if (options_.mode == SimulatedMode::shared || options_.link.bytes_per_second <= 0) return 0;
    return bytes / options_.link.bytes_per_second / options_.masters;
  }
  SimulatedWorker& worker_of(int worker) { return workers_.at(static_cast<std::size_t>(worker)); }

  void happen(double at, int worker, Happening::What what) { happenings_.push({at, order_++, worker, what}); }

  /// What comes next. At equal times the master is last: it takes all that has arrived. False: nothing is, or all is done.
  bool step() {
    const Job* job = cores_.next();
    const bool none = job == nullptr && happenings_.empty();
    const bool happens = !happenings_.empty() && (job == nullptr || happenings_.top().at <= job->end);
    const double at = none ? now_ : happens ? happenings_.top().at : job->end;
    if (idle_ && master_.done()) return false;
    if (idle_ && !arrived_.empty() && (none || at > now_)) {
      begin_pass();
      return true;
    }
    if (none) return false;
    now_ = at;
    if (happens) {
      const Happening next = happenings_.top();
      happenings_.pop();
      on(next);
    } else {
      on(cores_.finish());
    }
    return true;
  }

  void on(const Happening& next) {
    SimulatedWorker& worker = worker_of(next.worker);
    if (worker.dead) return;
    switch (next.what) {
      case Happening::What::computed:
        return happen(now_ + options_.link.latency, next.worker, Happening::What::reached);
      case Happening::What::reached:
        if (serial()) return arrived_.push_back(next);
        return enqueue(in_, {Job::What::gradient, next.worker});
      case Happening::What::delivered:
        return cores_.start(now_, now_ + options_.worker_receive, Job::What::fetch, next.worker);
      case Happening::What::died:
        worker.dead = true;
        return arrived_.push_back(next);
    }
  }

  void on(const Job& ended) {
    switch (ended.what) {
      case Job::What::gradient:
        if (!worker_of(ended.worker).dead) arrived_.push_back({.at = now_, .worker = ended.worker});
        return carry_next(in_);
      case Job::What::weights:
        happen(now_ + options_.link.latency, ended.worker, Happening::What::delivered);
        return carry_next(queue_out());
      case Job::What::fetch:
        return compute(ended.worker);
      case Job::What::master:
        busy_ += now_ - began_;
        return ended.worker < 0 ? end_pass() : end_reply();
    }
  }

  SimulatedQueue& queue_out() { return options_.link.half_duplex ? in_ : out_; }

  void enqueue(SimulatedQueue& queue, const SimulatedQueue::Message& message) {
    queue.waiting.push_back(message);
    if (!queue.busy) carry_next(queue);
  }

  void carry_next(SimulatedQueue& queue) {
    queue.busy = !queue.waiting.empty();
    if (!queue.busy) return;
    const auto [what, worker] = queue.waiting.front();
    queue.waiting.pop_front();
    const double bytes = what == Job::What::gradient ? options_.gradient_bytes : options_.weight_bytes;
    cores_.start(now_, now_ + transfer(bytes), what, worker, options_.masters);
  }

  void occupy(double seconds, int worker, int masters) {
    idle_ = false;
    began_ = now_;
    cores_.spin(now_, false);
    cores_.start(now_, now_ + seconds, Job::What::master, worker, masters);
  }

  /// One pass over what has arrived.
  void begin_pass() {
    const std::int64_t most = serial() ? 1 : MasterState::kMostTogether;
    std::vector<Event> events;
    std::int64_t gradients = 0;
    for (; !arrived_.empty() && gradients < most; arrived_.pop_front()) {
      const Happening& next = arrived_.front();
      if (next.what == Happening::What::died) {
        events.emplace_back(Departed{next.worker, "death"});
      } else {
        events.emplace_back(GradientReady{message_of(next.worker, worker_of(next.worker))});
        ++gradients;
      }
    }
    const std::int64_t before = master_.version();
    take(master_.on(events, now_));
    made_ = master_.version() - before;
    double work = static_cast<double>(gradients) * options_.receive;
    if (made_ > 0) work += options_.first_update + options_.further_update * static_cast<double>(made_ - 1);
    if (serial()) work += static_cast<double>(gradients) * transfer(options_.gradient_bytes);
    occupy(work / options_.masters, -1, options_.masters);
  }

  void end_pass() {
    for (const auto& [worker, version] : cancellations_) {
      worker_of(worker).cancelled = version;
      worker_of(worker).cancelled_at = now_ + options_.link.latency;
    }
    cancellations_.clear();
    if (made_ > 0) {
      ++passes_;
      last_update_ = now_;
    }
    reply_next();
  }

  GradientMessage message_of(int index, const SimulatedWorker& worker) {
    if (worker.cancelled == worker.version && worker.cancelled_at <= worker.finished) {
      return {index, {.computed_at = worker.version, .batch = worker.batch, .cancelled = 1}, {}};
    }
    return {index, {.computed_at = worker.version, .batch = worker.batch, .rows = 1}, model_.arena.outgoing()};
  }

  void take(std::span<const Action> actions) {
    for (const Action& action : actions) {
      if (const auto* cancel = std::get_if<Cancel>(&action)) cancellations_.emplace_back(cancel->worker, cancel->computed_at);
      const auto* send = std::get_if<Send>(&action);
      if (send != nullptr && send->reply.verdict == Verdict::proceed) replies_.push_back({send->worker, send->reply});
    }
  }

  void reply_next() {
    if (replies_.empty()) {
      idle_ = true;
      return cores_.spin(now_, serial());
    }
    occupy(options_.reply + (serial() ? transfer(options_.weight_bytes) : 0), replies_.front().worker, 1);
  }

  void end_reply() {
    const auto [index, reply] = replies_.front();
    replies_.pop_front();
    SimulatedWorker& worker = worker_of(index);
    for (int i = 0; i < reply.lease_count; ++i) worker.leases.push_back(reply.leases.at(static_cast<std::size_t>(i)));
    worker.batch = worker.leases.front();
    worker.leases.erase(worker.leases.begin());
    worker.version = reply.version;
    if (serial()) {
      happen(now_ + options_.link.latency, index, Happening::What::delivered);
    } else {
      enqueue(queue_out(), {Job::What::weights, index});
    }
    reply_next();
  }

  void compute(int index) {
    SimulatedWorker& worker = worker_of(index);
    if (worker.finished > 0) waiting_ += now_ - worker.finished;
    worker.finished = now_ + times_.next(index);
    ++computations_;
    happen(worker.finished, index, Happening::What::computed);
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
  SimulatedCores cores_;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
  SimulatedQueue in_, out_;
  double now_ = 0;

  // The master's thread.
  bool idle_ = false;
  double began_ = 0;                                         // its job
  std::deque<Happening> arrived_;                            // gradients and deaths
  std::int64_t made_ = 0;                                    // updates of the pass
  std::vector<std::pair<int, std::int64_t>> cancellations_;  // of the pass: worker, version
  std::deque<SimulatedReply> replies_;                       // of the pass

  std::int64_t order_ = 0, passes_ = 0, computations_ = 0;
  double busy_ = 0, last_update_ = 0, waiting_ = 0;
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
  const bool exchanges = options.mode == SimulatedMode::pipelined || options.mode == SimulatedMode::shared;
  require<InputError>(options.masters == 1 || (options.masters > 1 && exchanges),
                      "simulation: {} masters, expected 1, or more in the modes pipelined and shared", options.masters);
  require<InputError>(options.cores >= 0, "simulation: {} cores, expected 1 or more, or 0: enough", options.cores);
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
  require<InputError>(
      !synchronous || (options.cores == 0 && options.worker_receive == 0 && !options.link.half_duplex),
      "simulation: {} cores, {} seconds of a worker's receive, a link that is {} duplex in synchronous training, "
      "expected the defaults of them",
      options.cores, options.worker_receive, options.link.half_duplex ? "half" : "full");
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
  require_time("a receive of a worker", options.worker_receive);
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
