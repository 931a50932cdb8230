#include "apam/exchange/master_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include "apam/exchange/error.h"

namespace apam::exchange {

MasterState::MasterState(engine::Updater& updater, WeightHistory& history, const MasterOptions& options)
    : updater_(updater),
      history_(history),
      delay_(options.delay),
      schedule_(options.schedule),
      leases_(options.workers, options.schedule.total_updates),
      watch_(updater, options.schedule.keep_going),
      staleness_(options.workers),
      states_(static_cast<std::size_t>(options.workers)),
      active_(options.workers) {
  require<InputError>(schedule_.total_updates >= 1, "master: at least one update is required, got {}", schedule_.total_updates);
  require<InputError>(updater.version() == 0, "master: the updater has made {} updates already", updater.version());
  require<InputError>(delay_ == nullptr || options.workers == 1, "master: artificial delay is for 1 worker, got {}",
                      options.workers);
  const std::int64_t first = history.current().version();
  require<InputError>(first == 0, "master: the weight history is at version {}, expected 0", first);
  const std::size_t expected = updater.arena().state().size();
  require<InputError>(history.layout().state() == expected, "master: versions of {} floats for a state of {}",
                      history.layout().state(), expected);
  pass_.reserve(kMostTogether);
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
  if (!running()) return stop(message.worker);
  if (watch_.ends_before(message.header, message.worker, version() + static_cast<std::int64_t>(pass_.size()) + 1)) {
    flush();
    if (running()) end(Ending::Why::diverged, 0);
    return stop(message.worker);
  }
  state_of(message.worker).phase = Phase::arrived;
  pass_.push_back(message);
  if (ends_pass(message)) flush();
}

void MasterState::take(const Departed& event) {
  const int worker = event.worker;
  require<ExchangeError>(worker >= 0 && worker < workers(), "master: worker {} of {} has left", worker, workers());
  WorkerState& state = state_of(worker);
  if (state.phase == Phase::stopped || state.phase == Phase::departed) return;
  leases_.abandon(worker);
  state.phase = Phase::departed;
  --active_;
  std::erase_if(actions_, [&](const Action& action) {
    const auto* send = std::get_if<Send>(&action);
    return send != nullptr && send->worker == worker;
  });
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
  require<ExchangeError>(header.computed_at == state.given,
                         "master: worker {} computed on version {} of the weights, it was sent version {}", worker,
                         header.computed_at, state.given);
  leases_.check_oldest(worker, header.batch);
  const std::size_t expected = history_.layout().state();
  require<ExchangeError>(
      header.rows > 0 && header.top1 >= 0 && header.top1 <= header.top5 && header.top5 <= header.rows && header.signal >= 0,
      "master: worker {} reports {} and {} of {} rows in the top 1 and top 5 and signal {}, expected 0 <= top 1 <= top 5 <= "
      "rows, rows > 0 and signal >= 0",
      worker, header.top1, header.top5, header.rows, header.signal);
  require<ExchangeError>(message.values.size() == expected, "master: worker {} sends {} floats, a contribution has {}", worker,
                         message.values.size(), expected);
}

/// Whether the state after this gradient, the last of the pass so far, is needed.
bool MasterState::ends_pass(const GradientMessage& message) const {
  const auto together = static_cast<std::int64_t>(pass_.size());
  return together == kMostTogether || message.header.signal != 0 || schedule_.snapshot_at(version() + together);
}

/// Applies the pass and answers its workers.
void MasterState::flush() {
  if (pass_.empty()) return;
  const auto together = static_cast<int>(pass_.size());
  const std::int64_t before = version();
  std::array<ConstSpan<float>, kMostTogether> contributions;
  std::transform(pass_.begin(), pass_.end(), contributions.begin(), [](const GradientMessage& one) { return one.values; });
  WritableVersion next = history_.begin_next(together);
  updater_.apply_each(std::span(contributions).first(pass_.size()), next.from(), next.state());
  history_.publish(std::move(next));

  const std::int64_t update = version();
  const GradientMessage& last = pass_.back();
  if (watch_.ends_after(last.worker, history_.current().state(), together)) {
    end(Ending::Why::diverged, 0);
  } else if (last.header.signal != 0 && running()) {
    end(Ending::Why::interrupted, last.header.signal);
  }
  for (const GradientMessage& message : pass_) {
    leases_.apply(message.worker);
    running() ? answer(message.worker) : stop(message.worker);
  }
  for (int i = 0; i < together; ++i) {
    const GradientMessage& message = pass_[static_cast<std::size_t>(i)];
    const std::int64_t tau = before + i - message.header.computed_at;
    staleness_.record(message.worker, tau);
    actions_.emplace_back(Applied{{.update = before + i + 1,
                                   .worker = message.worker,
                                   .staleness = tau,
                                   .header = message.header,
                                   .at = at_,
                                   .rate = updater_.rate(before + i + 1),
                                   .place = i + 1}});
  }
  if (ending_.why != Ending::Why::diverged && schedule_.snapshot_at(update)) {
    const VersionRef state = history_.current();
    actions_.emplace_back(Snapshot{{update, at_, state.state(), history_.in_place() ? VersionRef() : state}});
  }
  pass_.clear();
}

/// Sends the worker its next weights and leases, or lets it wait.
void MasterState::answer(int worker) {
  WorkerState& state = state_of(worker);
  Reply reply;
  std::exchange(state.started, true) ? leases_.deal_next(worker, reply) : leases_.deal_first(worker, reply);
  if (leases_.outstanding(worker) == 0) {
    state.phase = Phase::waiting;
    return;
  }
  state.phase = Phase::working;
  const VersionRef version = delay_ == nullptr ? history_.current() : history_.at(delay_->version_for(this->version() + 1));
  reply.version = state.given = version.version();
  actions_.emplace_back(Send{worker, reply, version});
}

void MasterState::stop(int worker) {
  leases_.abandon(worker);
  state_of(worker).phase = Phase::stopped;
  --active_;
  actions_.emplace_back(Send{worker, {.verdict = Verdict::stop, .version = version()}, {}});
}

/// After the events of a call: stops the waiting workers if the run has ended, or deals them what was returned.
void MasterState::settle() {
  for (int worker = 0; worker < workers(); ++worker) {
    if (state_of(worker).phase != Phase::waiting) continue;
    if (!running()) {
      stop(worker);
    } else if (leases_.can_deal()) {
      answer(worker);
    }
  }
  if (done() && !std::exchange(over_, true)) actions_.emplace_back(Stop{});
}

Ending MasterState::ending() const { return ending_.why == Ending::Why::complete ? Ending{.update = version()} : ending_; }

}  // namespace apam::exchange
