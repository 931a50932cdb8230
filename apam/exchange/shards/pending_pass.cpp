#include "apam/exchange/shards/pending_pass.h"

#include <array>
#include <utility>

#include "apam/exchange/error.h"

namespace apam::exchange {

PendingPass::PendingPass(engine::Updater& updater, WeightHistory& history, const ShardRange& range,
                         const StalenessPolicy& policy, const Options& options)
    : history_(history),
      policy_(policy),
      ahead_(options.ahead),
      work_(updater, range, policy),
      workers_(static_cast<std::size_t>(options.workers)) {
  taken_.reserve(kMost);
}

void PendingPass::send(int worker, const VersionRef& version, bool computes) {
  Sent& sent = of(worker);
  sent.computes_on = computes ? sent.given : version.version();
  sent.given = version.version();
  if (policy_.compensation() == 0 || history_.in_place()) return;
  sent.base = computes ? sent.latest : version;
  if (ahead_) sent.latest = version;
}

void PendingPass::used_latest(int worker) {
  Sent& sent = of(worker);
  sent.computes_on = sent.given;
  sent.base = sent.latest;
}

void PendingPass::check_version(const GradientMessage& message) const {
  const auto& [given, computes_on, updated, base, latest] = of(message.worker);
  require<ExchangeError>(message.header.computed_at == computes_on,
                         "master: worker {} computed on version {} of the weights, it was sent version {}{}", message.worker,
                         message.header.computed_at, computes_on, computes_on < given ? " for it" : "");
}

void PendingPass::check_contents(const GradientMessage& message) const {
  const GradientHeader& header = message.header;
  require<ExchangeError>(
      header.rows > 0 && header.top1 >= 0 && header.top1 <= header.top5 && header.top5 <= header.rows && header.signal >= 0,
      "master: worker {} reports {} and {} of {} rows in the top 1 and top 5 and signal {}, expected 0 <= top 1 <= top 5 <= "
      "rows, rows > 0 and signal >= 0",
      message.worker, header.top1, header.top5, header.rows, header.signal);
  const std::size_t expected = history_.layout().state();
  require<ExchangeError>(message.values.size() == expected, "master: worker {} sends {} floats, a contribution has {}",
                         message.worker, message.values.size(), expected);
}

Arrival PendingPass::describe(const GradientMessage& message, int present) const {
  const std::int64_t update = next_update();
  const auto& updated = of(message.worker).updated;
  return {.staleness = update - 1 - message.header.computed_at,
          .update = update,
          .rate = work_.updater().rate(update),
          .gap = updated ? std::optional(update - *updated) : std::nullopt,
          .workers = present};
}

void PendingPass::take(const GradientMessage& message, const Arrival& arrival) {
  using Kind = GradientChange::Kind;
  Sent& sent = of(message.worker);
  sent.updated = arrival.update;
  Taken taken{message, policy_.step_factor(arrival), arrival.staleness, sent.given - message.header.computed_at};
  if (policy_.changes_gradients()) {
    VersionRef base = std::exchange(sent.base, {});
    const double factor = policy_.gradient_factor(arrival);
    if (factor != 1) {
      taken.change = {.kind = Kind::scaled, .factor = static_cast<float>(factor)};
    } else if (policy_.compensation() != 0 && arrival.staleness > 0) {
      taken.change = {Kind::compensated, base.slot(), static_cast<float>(policy_.compensation())};
      taken.base = std::move(base);
    }
  }
  taken_.push_back(std::move(taken));
}

PendingPass::Begun PendingPass::begin() {
  ShardPass pass{.count = static_cast<std::int32_t>(taken_.size()),
                 .from = history_.current().slot(),
                 .change = taken_.front().change};  // a changed gradient is the only one
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    pass.workers.at(i) = taken_[i].message.worker;
    pass.steps.at(i) = taken_[i].step;
  }
  WritableVersion next = history_.begin_next(pass.count);
  pass.to = next.slot();
  return {pass, std::move(next)};
}

void PendingPass::execute(const Begun& begun) {
  std::array<ConstSpan<float>, kMost> contributions;
  for (std::size_t i = 0; i < taken_.size(); ++i) contributions.at(i) = taken_[i].message.values;
  const VersionRef& base = taken_.front().base;
  work_.apply(begun.pass, {.contributions = std::span(contributions).first(taken_.size()),
                           .from = begun.next.from(),
                           .to = begun.next.state(),
                           .base = base ? base.state() : ConstSpan<float>()});
}

}  // namespace apam::exchange
