#include "apam/exchange/master_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include "apam/exchange/error.h"

namespace apam::exchange {
namespace {

std::int64_t batches_of(const MasterOptions& options) {
  return options.batches.value_or(policy_or_none(options.policy).batches_of(options.schedule.total_updates));
}

ShardRange range_of(const MasterOptions& options, const HistoryLayout& history) {
  return options.range.value_or(ShardRange{0, history.weights, history.statistics});
}

}  // namespace

MasterState::MasterState(engine::Updater& updater, WeightHistory& history, const MasterOptions& options)
    : updater_(updater),
      history_(history),
      delay_(options.delay),
      policy_(policy_or_none(options.policy)),
      schedule_(options.schedule),
      leases_(options.workers, batches_of(options), options.ahead ? 3 : 2, options.done),
      ahead_(options.ahead),
      watch_(updater, options.schedule.keep_going),
      staleness_(options.workers),
      pass_(updater, history, range_of(options, history.layout()), policy_,
            {.workers = options.workers, .ahead = options.ahead}),
      followers_(options.followers),
      order_(options.order),
      states_(static_cast<std::size_t>(options.workers)),
      active_(options.workers),
      present_(options.workers) {
  require<InputError>(schedule_.total_updates >= 1, "master: at least one update is required, got {}", schedule_.total_updates);
  const std::int64_t done = policy_.updates_of(options.done.applied());
  require<InputError>(updater.version() == done, "master: the updater has made {} updates, expected {}, of {} batches",
                      updater.version(), done, options.done.applied());
  require<InputError>(delay_ == nullptr || options.workers == 1, "master: artificial delay is for 1 worker, got {}",
                      options.workers);
  const std::int64_t made = policy_.updates_of(leases_.total());
  require<InputError>(made == schedule_.total_updates, "master: {} batches make {} updates, expected {}", leases_.total(), made,
                      schedule_.total_updates);
  const std::int64_t first = history.current().version();
  require<InputError>(first == done, "master: the weight history is at version {}, expected {}", first, done);
  const bool whole = pass_.range().size() == history.layout().state();
  require<InputError>(whole == (followers_ == nullptr), "master: updates {} of {} floats of the state {} followers",
                      pass_.range().size(), history.layout().state(), whole ? "with" : "without");
  require<InputError>(
      order_ == Order::sequenced || (policy_.applies_all() && !whole),
      "master: an order of their own is for several masters and a policy that applies every gradient, got a range of "
      "{} of {} floats and a policy that {}",
      pass_.range().size(), history.layout().state(), policy_.applies_all() ? "does" : "does not");
}

std::span<const Action> MasterState::on(std::span<const Event> events, double at) {
  actions_.clear();
  at_ = at;
  for (const Event& event : events) {
    if (!std::holds_alternative<GradientReady>(event)) flush();
    std::visit([this](const auto& one) { take(one); }, event);
  }
  flush();
  settle();
  return actions_;
}

void MasterState::take(const Joined& event) {
  const int worker = event.worker;
  require<ExchangeError>(worker >= 0 && worker < workers(), "master: worker {} of {} requests weights", worker, workers());
  require<ExchangeError>(state_of(worker).phase == Phase::unknown, "master: worker {} has joined already", worker);
  running() ? answer(worker) : stop(worker);
}

void MasterState::take(const GradientReady& event) {
  const GradientMessage& message = event.message;
  check(message);
  WorkerState& state = state_of(message.worker);
  const GradientHeader& header = message.header;
  const Arrival arrival = pass_.describe(message, present_);
  const bool accepted = header.cancelled == 0 && policy_.accepts(arrival);
  if (applies() && accepted && watch_.ends_before(header, message.worker, arrival.update)) {
    flush();
    if (running()) end(Ending::Why::diverged, 0);
    return stop(message.worker);
  }
  if (!applies()) return stop(message.worker);
  state.phase = Phase::arrived;
  if (!accepted) {
    refuse(message, arrival.staleness);
  } else if (policy_.gradients_per_update(arrival.update) > 1) {
    take_for_mean(message);
  } else {
    pass_.take(message, arrival);
    if (ends_pass(header)) flush();
  }
}

void MasterState::take(const Departed& event) {
  const int worker = event.worker;
  require<ExchangeError>(worker >= 0 && worker < workers(), "master: worker {} of {} has left", worker, workers());
  WorkerState& state = state_of(worker);
  if (state.phase == Phase::stopped || state.phase == Phase::departed) return;
  leases_.abandon(worker);
  state.phase = Phase::departed;
  pass_.forget(worker);
  --active_;
  --present_;
  std::erase_if(actions_, [&](const Action& action) {
    const auto* send = std::get_if<Send>(&action);
    return send != nullptr && send->worker == worker;
  });
  actions_.emplace_back(Left{{worker, event.why}, at_});
  if (active_ == 0 && running()) end(Ending::Why::deserted, 0);
}

void MasterState::take(const StopRequested& event) {
  if (running()) end(Ending::Why::interrupted, event.signal);
}

void MasterState::check(const GradientMessage& message) const {
  const int worker = message.worker;
  const GradientHeader& header = message.header;
  require<ExchangeError>(worker >= 0 && worker < workers(), "master: a gradient of worker {}, there are {}", worker, workers());
  const auto& state = states_[static_cast<std::size_t>(worker)];
  constexpr std::array<std::string_view, 6> what{"has no weights", "",        "waits for a reply", "waits for a lease",
                                                 "has stopped",    "has left"};
  require<ExchangeError>(state.phase == Phase::working, "master: a gradient of worker {}, which {}", worker,
                         what.at(static_cast<std::size_t>(state.phase)));
  pass_.check_version(message);
  leases_.check_oldest(worker, header.batch);
  if (header.cancelled != 0) {
    require<ExchangeError>(state.asked, "master: worker {} has given up batch {}, but was not asked to", worker, header.batch);
    return;
  }
  pass_.check_contents(message);
}

/// The gradient is not applied. Its worker gets the newest version, so the pass ends.
void MasterState::refuse(const GradientMessage& message, std::int64_t tau) {
  flush();
  if (!running()) return stop(message.worker);
  if (message.header.cancelled != 0) {
    leases_.cancel(message.worker);
  } else {
    leases_.refuse(message.worker);
    actions_.emplace_back(Refuse{message.worker, message.header, tau});
  }
  if (message.header.signal != 0) end(Ending::Why::interrupted, message.header.signal);
  running() ? answer(message.worker) : stop(message.worker);
}

/// Adds the gradient to the mean, and makes the update once it is complete. Its worker continues with the current version.
void MasterState::take_for_mean(const GradientMessage& message) {
  const GradientHeader& header = message.header;
  const ShardPass addition{.kind = ShardPass::Kind::add, .count = 1, .workers = {message.worker}};
  if (followers_ != nullptr) followers_->post(addition);
  const std::int64_t added = pass_.add(message.values);
  if (followers_ != nullptr) followers_->finish();
  if (added == 1) mean_ = {.computed_at = header.computed_at};
  mean_.batch = header.batch;
  mean_.loss_sum += header.loss_sum;
  mean_.rows += header.rows;
  mean_.top1 += header.top1;
  mean_.top5 += header.top5;
  mean_.signal = header.signal;
  leases_.keep(message.worker);
  if (added < policy_.gradients_per_update(version() + 1) && leases_.counts().applied + added < leases_.total()) {
    ++state_of(message.worker).taken;
    if (header.signal != 0) end(Ending::Why::interrupted, header.signal);
    return running() ? answer(message.worker) : stop(message.worker);
  }
  pass_.take_mean({message.worker, mean_, {}});
  flush();
}

/// Whether the state after this gradient, the last of the pass so far, is needed.
bool MasterState::ends_pass(const GradientHeader& last) const {
  return pass_.full() || last.signal != 0 || schedule_.snapshot_at(pass_.next_update() - 1);
}

/// Writes the version after the pass on all shards, and publishes it. What the others have found not to be finite.
std::optional<ShardFinding> MasterState::update() {
  PendingPass::Begun begun = pass_.begin();
  if (followers_ != nullptr) followers_->post(begun.pass);
  pass_.execute(begun);
  if (is_shown(pass_.taken().back().message.header)) collect(begun.next.slot());
  const auto elsewhere = followers_ != nullptr ? followers_->finish() : std::nullopt;
  history_.publish(std::move(begun.next));
  return elsewhere;
}

/// Whether the state after the pass that was just made is needed here.
bool MasterState::is_shown(const GradientHeader& last) const {
  return (last.signal != 0 && order_ == Order::sequenced) || schedule_.snapshot_at(version());
}

/// Of the newest version, or the one that is being written: the whole state.
void MasterState::collect(int slot) {
  if (followers_ != nullptr && std::exchange(collected_, version()) != version()) followers_->collect(slot, version());
}

/// Applies the pass and answers its workers.
void MasterState::flush() {
  const auto together = pass_.taken();
  if (together.empty()) return;
  const std::int64_t before = version();
  const auto elsewhere = update();
  // Before the run may end, which abandons what is not applied.
  for (const auto& taken : together) leases_.kept() > 0 ? leases_.apply_kept() : leases_.apply(taken.message.worker);

  const GradientMessage last = together.back().message;
  using Examine = engine::Updater::Examine;
  if (watch_.ends_after(last.worker, is_shown(last.header) ? Examine::all : Examine::without_waiting, elsewhere)) {
    if (ending_.why == Ending::Why::complete) end(Ending::Why::diverged, 0);
  } else if (last.header.signal != 0 && running()) {
    end(Ending::Why::interrupted, last.header.signal);
  }
  for (const auto& taken : together) {
    const int worker = taken.message.worker;
    ++state_of(worker).taken;
    running() ? answer(worker) : stop(worker);
  }
  for (std::size_t i = 0; i < together.size(); ++i) {
    const auto& taken = together[i];
    const GradientMessage& message = taken.message;
    const std::int64_t update = before + static_cast<std::int64_t>(i) + 1;
    staleness_.record(message.worker, taken.tau, taken.publish_lag);
    actions_.emplace_back(Applied{{.update = update,
                                   .worker = message.worker,
                                   .staleness = taken.tau,
                                   .publish_lag = taken.publish_lag,
                                   .header = message.header,
                                   .at = at_,
                                   .rate = taken.step * updater_.rate(update),
                                   .place = static_cast<int>(i) + 1}});
  }
  if (ending_.why != Ending::Why::diverged && schedule_.snapshot_at(version())) {
    const VersionRef state = history_.current();
    actions_.emplace_back(Snapshot{{version(), at_, state.state(), history_.in_place() ? VersionRef() : state, versions()}});
  }
  pass_.clear();
}

/// Sends the worker its next weights and leases, or lets it wait.
void MasterState::answer(int worker) {
  WorkerState& state = state_of(worker);
  state.phase = Phase::waiting;
  if (must_wait(worker)) return;
  // A worker with another lease computes it already, on the weights that it has.
  const bool computes = ahead_ && leases_.outstanding(worker) > 0;
  Reply reply;
  std::exchange(state.started, true) ? leases_.deal_next(worker, reply) : leases_.deal_first(worker, reply);
  if (leases_.outstanding(worker) == 0) return;
  state.phase = Phase::working;
  state.asked = false;
  const VersionRef version = delay_ == nullptr ? history_.current() : history_.at(delay_->version_for(this->version() + 1));
  pass_.send(worker, version, computes);
  reply.version = version.version();
  actions_.emplace_back(Send{worker, reply, version});
}

/// Whether the policy lets the worker wait for slower ones.
bool MasterState::must_wait(int worker) const {
  const auto most = policy_.most_ahead();
  if (!most) return false;
  const std::int64_t mine = states_[static_cast<std::size_t>(worker)].taken;
  return std::any_of(states_.begin(), states_.end(), [&](const WorkerState& other) {
    return (other.phase == Phase::working || other.phase == Phase::arrived) && mine - other.taken > *most;
  });
}

/// Asks workers to give up what would be refused.
void MasterState::cancel_stale() {
  const auto least = policy_.cancels_at();
  if (!least || !running()) return;
  for (int worker = 0; worker < workers(); ++worker) {
    WorkerState& state = state_of(worker);
    if (state.phase != Phase::working || state.asked || version() - pass_.computes_on(worker) < *least) continue;
    state.asked = true;
    actions_.emplace_back(Cancel{worker, pass_.computes_on(worker)});
  }
}

void MasterState::stop(int worker) {
  leases_.abandon(worker);
  state_of(worker).phase = Phase::stopped;
  pass_.forget(worker);
  --active_;
  actions_.emplace_back(Send{worker, {.verdict = Verdict::stop, .version = version()}, {}});
}

/// After the events of a call: stops the waiting workers if the run has ended, or deals them what was returned.
void MasterState::settle() {
  for (int worker = 0; worker < workers(); ++worker) {
    if (state_of(worker).phase != Phase::waiting) continue;
    if (!running()) {
      stop(worker);
    } else if (leases_.can_deal() || leases_.outstanding(worker) > 0) {
      answer(worker);
    }
  }
  cancel_stale();
  if (!done() || std::exchange(over_, true)) return;
  if (followers_ != nullptr) {
    collect(history_.current().slot());
    if (order_ == Order::free) end_together();
    followers_->post({.kind = ShardPass::Kind::stop});
  }
  actions_.emplace_back(Stop{});
}

/// Every master has applied the same gradients now.
void MasterState::end_together() {
  for (const std::int64_t theirs : followers_->versions()) {
    require<ExchangeError>(theirs == version(), "master: ends after {} updates, another master after {}, expected the same",
                           version(), theirs);
  }
  if (watch_.ends_together(followers_->finish()) && ending_.why == Ending::Why::complete) end(Ending::Why::diverged, 0);
  ending_.update = version();
}

/// Of a snapshot: updates that each master has made, if they may differ.
std::vector<std::int64_t> MasterState::versions() const {
  if (order_ == Order::sequenced) return {};
  std::vector<std::int64_t> all = followers_->versions();
  all.insert(all.begin(), version());
  return all;
}

void MasterState::end(Ending::Why why, int signal) {
  ending_ = {why, version(), signal};
  leases_.abandon_kept();
}

Ending MasterState::ending() const { return ending_.why == Ending::Why::complete ? Ending{.update = version()} : ending_; }

}  // namespace apam::exchange
