#include "apam/exchange/backup_ranks.h"

#include "apam/exchange/checksum.h"
#include "apam/exchange/error.h"

namespace apam::exchange {

BackupTrainer::BackupTrainer(FirstArrivals& arrivals, engine::Updater& updater, GradientSource& source,
                             const Schedule& schedule, Observer& observer)
    : arrivals_(arrivals),
      updater_(updater),
      source_(source),
      schedule_(schedule),
      observer_(observer),
      watch_(updater, schedule.keep_going),
      leases_(arrivals.ranks(), arrivals.first(), schedule.total_updates) {
  require<InputError>(source.arena().weights().data() == updater.arena().weights().data(),
                      "sync: gradients and updates must use the same weights");
  require<InputError>(schedule.total_updates >= 1, "sync: at least one update is required, got {}", schedule.total_updates);
}

Ending BackupTrainer::run(Control& control) {
  arrivals_.broadcast(source_.arena().state());
  source_.arena().rounded().outdate();
  std::optional<Ending> ending;
  std::int64_t update = 0;
  while (!ending && update < schedule_.total_updates) {
    contribute(++update, control);
    ending = advance(update, control);
  }
  arrivals_.finish(update);
  return ending ? *ending : Ending{.update = updater_.version()};
}

// Offers a gradient of the current weights, unless it would be late.
void BackupTrainer::contribute(std::int64_t update, Control& control) {
  const auto share = leases_.of(arrivals_.rank());
  if (!share || arrivals_.complete(update)) return;
  const std::int32_t signal = control.stop_signal();
  GradientHeader header = source_.compute(*share);
  header.signal = signal;
  header.batch = share->batch;
  header.computed_at = updater_.version();
  if (header.rows == 0) zero(source_.arena().outgoing());
  arrivals_.offer(update, header);
}

// Applies the update. Returns the ending if it is the last one before its time.
std::optional<Ending> BackupTrainer::advance(std::int64_t update, Control& control) {
  const FirstSum sum = arrivals_.take(update);
  const GradientHeader header = sum_headers(update, sum.arrivals);
  std::vector<int> ranks;
  for (const EarlyGradient& arrival : sum.arrivals) ranks.push_back(arrival.rank);
  if (watch_.ends_before(header, 0, update)) {
    arrivals_.release(update);
    return Ending{Ending::Why::diverged, updater_.version()};
  }
  updater_.apply(sum.values);
  if (schedule_.snapshot_at(update)) arrivals_.compare(update, checksum(source_.arena().state().host()));
  arrivals_.release(update);
  leases_.apply(ranks);
  const double at = control.now();
  observer_.on_update({.update = update, .header = header, .at = at, .rate = updater_.rate(), .ranks = std::move(ranks)});
  const bool stops = header.signal != 0;
  using Examine = engine::Updater::Examine;
  const bool shown = stops || schedule_.snapshot_at(update);  // the state after this update
  if (watch_.ends_after(0, shown ? Examine::all : Examine::without_waiting)) {
    return Ending{Ending::Why::diverged, update};
  }
  if (schedule_.snapshot_at(update)) observer_.on_snapshot({update, at, source_.arena().state()});
  if (stops && update < schedule_.total_updates) return Ending{Ending::Why::interrupted, update, header.signal};
  return std::nullopt;
}

// Of all K together; `batch` is the lowest of theirs, `signal` the first.
GradientHeader BackupTrainer::sum_headers(std::int64_t update, std::span<const EarlyGradient> arrivals) const {
  GradientHeader sum{.computed_at = update - 1};
  for (const EarlyGradient& arrival : arrivals) {
    const GradientHeader& header = arrival.header;
    require<ExchangeError>(header.computed_at == update - 1, "sync: rank {} offers update {} a gradient of version {}",
                           arrival.rank, update, header.computed_at);
    sum.loss_sum += header.loss_sum;
    sum.rows += header.rows;
    sum.top1 += header.top1;
    sum.top5 += header.top5;
    if (sum.signal == 0) sum.signal = header.signal;
    if (sum.batch < 0 || header.batch < sum.batch) sum.batch = header.batch;
  }
  require<ExchangeError>(sum.rows > 0, "sync: update {} has no rows from any of {} ranks", update, arrivals.size());
  return sum;
}

LeaseCounts BackupTrainer::leases() const {
  LeaseCounts counts = leases_.counts();
  counts.refused = arrivals_.late();
  counts.abandoned = counts.granted - counts.applied - counts.refused;
  return counts;
}

}  // namespace apam::exchange
