#include "apam/exchange/master.h"

#include "apam/exchange/error.h"

namespace apam::exchange {

Master::Master(engine::Updater& updater, int workers, const Schedule& schedule, Observer& observer, DelayedWeights* delayed)
    : updater_(updater),
      observer_(observer),
      delayed_(delayed),
      schedule_(schedule),
      leases_(workers, schedule.total_updates),
      watch_(updater, schedule.keep_going),
      staleness_(workers),
      states_(static_cast<std::size_t>(workers)),
      active_(workers) {
  require<InputError>(schedule.total_updates >= 1, "master: at least one update is required, got {}", schedule.total_updates);
  require<InputError>(updater.version() == 0, "master: the updater has made {} updates already", updater.version());
  require<InputError>(delayed == nullptr || workers == 1, "master: artificial delay is for 1 worker, got {}", workers);
}

Reply Master::welcome(int worker) {
  require<ExchangeError>(worker >= 0 && worker < leases_.workers(), "master: worker {} of {} requests weights", worker,
                         leases_.workers());
  auto& state = states_[static_cast<std::size_t>(worker)];
  require<ExchangeError>(state.phase == Phase::unknown, "master: worker {} is already welcomed", worker);
  state.phase = Phase::working;
  Reply reply;
  leases_.deal_first(worker, reply);
  return close(worker, reply);
}

Reply Master::handle(const GradientMessage& message, double at) {
  check(message);
  leases_.fulfil(message.worker, message.header.batch);
  if (ending_.why == Ending::Why::complete) apply(message, at);
  Reply reply;
  if (ending_.why == Ending::Why::complete) leases_.deal_next(message.worker, reply);
  return close(message.worker, reply);
}

void Master::apply(const GradientMessage& message, double at) {
  const auto& header = message.header;
  if (watch_.ends_before(header, message.worker)) return end(Ending::Why::diverged, 0);
  const std::int64_t staleness = updater_.version() - header.computed_at;
  updater_.apply(message.values);
  if (delayed_ != nullptr) delayed_->add(weights());
  staleness_.record(message.worker, staleness);
  const std::int64_t update = updater_.version();
  observer_.on_update({update, message.worker, staleness, header, at, updater_.rate()});
  const bool shown = schedule_.snapshot_at(update) || header.signal != 0;  // the state after this update
  using Examine = engine::Updater::Examine;
  if (watch_.ends_after(message.worker, shown ? Examine::all : Examine::without_waiting)) return end(Ending::Why::diverged, 0);
  if (schedule_.snapshot_at(update)) observer_.on_snapshot(update, at, updater_.arena().state());
  if (header.signal != 0) stop(header.signal);
}

void Master::stop(int signal) {
  if (ending_.why == Ending::Why::complete && updater_.version() < schedule_.total_updates) {
    end(Ending::Why::interrupted, signal);
  }
}

void Master::end(Ending::Why why, int signal) { ending_ = {why, updater_.version(), signal}; }

Ending Master::ending() const { return ending_.why == Ending::Why::complete ? Ending{.update = updater_.version()} : ending_; }

void Master::check(const GradientMessage& message) const {
  const int worker = message.worker;
  const GradientHeader& header = message.header;
  require<ExchangeError>(worker >= 0 && worker < leases_.workers(), "master: a gradient of worker {}, there are {}", worker,
                         leases_.workers());
  const auto& state = states_[static_cast<std::size_t>(worker)];
  require<ExchangeError>(state.phase == Phase::working, "master: a gradient of worker {}, which {}", worker,
                         state.phase == Phase::stopped ? "has stopped" : "has no weights");
  require<ExchangeError>(header.computed_at == state.given,
                         "master: worker {} computed on version {} of the weights, it was sent version {}", worker,
                         header.computed_at, state.given);
  const std::size_t expected = updater_.arena().state().size();
  require<ExchangeError>(
      header.rows > 0 && header.top1 >= 0 && header.top1 <= header.top5 && header.top5 <= header.rows && header.signal >= 0,
      "master: worker {} reports {} and {} of {} rows in the top 1 and top 5 and signal {}, expected 0 <= top 1 <= top 5 <= "
      "rows, rows > 0 and signal >= 0",
      worker, header.top1, header.top5, header.rows, header.signal);
  require<ExchangeError>(message.values.size() == expected, "master: worker {} sends {} floats, a contribution has {}", worker,
                         message.values.size(), expected);
}

// Sets version and verdict.
Reply Master::close(int worker, Reply reply) {
  auto& state = states_[static_cast<std::size_t>(worker)];
  reply.version = state.given = updater_.version();
  if (leases_.outstanding(worker) == 0 || ending_.why != Ending::Why::complete) {
    reply.verdict = Verdict::stop;
    state.phase = Phase::stopped;
    --active_;
  } else if (delayed_ != nullptr) {
    reply.version = state.given = delayed_->version_for(updater_.version() + 1);
  }
  return reply;
}

void Master::run(MasterTransport& transport, Control& control) {
  require<ExchangeError>(transport.workers() == leases_.workers(), "master: a transport for {} workers, expected {}",
                         transport.workers(), leases_.workers());
  for (int worker = 0; worker < leases_.workers(); ++worker) {
    const Reply first = welcome(worker);
    transport.reply(worker, first, weights_of(first));
  }
  while (!done()) {
    for (const GradientMessage& message : transport.wait_some()) {
      if (const int signal = control.stop_signal(); signal != 0) stop(signal);
      const Reply reply = handle(message, control.now());
      transport.reply(message.worker, reply, weights_of(reply));
    }
  }
  transport.finish();
}

}  // namespace apam::exchange
