#include "apam/exchange/synchronous.h"

#include <array>

#include "apam/exchange/checksum.h"
#include "apam/exchange/error.h"

namespace apam::exchange {
SynchronousTrainer::SynchronousTrainer(AllReduce& all_reduce, engine::Updater& updater, GradientSource& source,
                                       const Schedule& schedule, Observer& observer, std::size_t bucket_floats)
    : all_reduce_(all_reduce),
      updater_(updater),
      source_(source),
      schedule_(schedule),
      observer_(observer),
      buckets_(source.arena().layout(), bucket_floats),
      watch_(updater, schedule.keep_going) {
  require<InputError>(source.arena().weights().data() == updater.arena().weights().data(),
                      "sync: gradients and updates must use the same weights");
  require<InputError>(schedule.total_updates >= 1, "sync: at least one update is required, got {}", schedule.total_updates);
  if (!all_reduce_.sends_early()) return;
  source_.on_gradient_ready([this](engine::ParameterId id) {
    buckets_.ready(id);
    while (const Bucket* bucket = buckets_.take()) start(*bucket);
    all_reduce_.progress();
  });
}

SynchronousTrainer::~SynchronousTrainer() { source_.on_gradient_ready({}); }

Ending SynchronousTrainer::run(Control& control) {
  const std::int64_t first = resume_together();
  source_.prepare(share(first));
  for (std::int64_t batch = first; batch < schedule_.total_updates; ++batch) {
    if (batch + 1 < schedule_.total_updates) source_.prepare(share(batch + 1));
    const std::int32_t signal = control.stop_signal();
    GradientHeader header = contribute(batch, signal);
    const bool stops = header.signal != 0;  // on some rank
    if (stops) header.signal = first_signal(signal);
    if (watch_.ends_before(header, 0, updater_.version() + 1)) return {Ending::Why::diverged, updater_.version()};
    updater_.apply(all_reduce_.sums(source_.arena().outgoing()));
    const std::int64_t update = updater_.version();
    if (schedule_.snapshot_at(update)) check_replicas(update);
    const double at = control.now();
    observer_.on_update({.update = update, .header = header, .at = at, .rate = updater_.rate()});
    const bool shown = stops || schedule_.snapshot_at(update);  // the state after this update
    using Examine = engine::Updater::Examine;
    if (watch_.ends_after(0, shown ? Examine::all : Examine::without_waiting)) return {Ending::Why::diverged, update};
    if (schedule_.snapshot_at(update)) observer_.on_snapshot({update, at, source_.arena().state()});
    const std::optional<Ending> ending = ending_at(update, header);
    observer_.on_rest({update, at, ending, nullptr, [update] { return BatchProgress{.next = update}; }});
    if (ending) return *ending;
  }
  return {.update = updater_.version()};
}

/// State, version and moments of rank 0. The number of the first batch.
std::int64_t SynchronousTrainer::resume_together() {
  const engine::ParameterArena& arena = source_.arena();
  all_reduce_.broadcast(arena.state());
  arena.rounded().outdate();
  const auto version = static_cast<std::int64_t>(all_reduce_.gather(static_cast<std::uint64_t>(updater_.version())).front());
  if (version == 0) return 0;
  const Span<float> moments = updater_.moments();
  const std::size_t weights = arena.weights().size();
  for (std::size_t begin = 0; begin < moments.size(); begin += weights) all_reduce_.broadcast(moments.subspan(begin, weights));
  updater_.resume(version);
  return version;
}

std::optional<Ending> SynchronousTrainer::ending_at(std::int64_t update, const GradientHeader& header) const {
  if (update == schedule_.total_updates) return Ending{.update = update};
  return header.signal != 0 ? std::optional<Ending>({Ending::Why::interrupted, update, header.signal}) : std::nullopt;
}

// The signal of the first rank that got one.
int SynchronousTrainer::first_signal(std::int32_t mine) {
  for (const std::uint64_t signal : all_reduce_.gather(static_cast<std::uint64_t>(mine))) {
    if (signal != 0) return static_cast<int>(signal);
  }
  return 0;
}

// Sums the contribution of the whole mini-batch and returns its header.
GradientHeader SynchronousTrainer::contribute(std::int64_t batch, std::int32_t signal) {
  buckets_.reset();
  GradientHeader header = source_.compute(share(batch));
  header.signal = signal;
  header.batch = batch;
  header.computed_at = updater_.version();
  if (header.rows == 0) zero(source_.arena().outgoing());
  while (const Bucket* bucket = buckets_.take_any()) start(*bucket);
  sum_headers(header);
  all_reduce_.finish();
  return header;
}

void SynchronousTrainer::start(const Bucket& bucket) {
  all_reduce_.start(source_.arena().gradients().subspan(bucket.offset, bucket.count));
}

// Sums the headers (for signals, the number of ranks with one), and starts the sum of the batch statistics, weighted by rows.
void SynchronousTrainer::sum_headers(GradientHeader& header) {
  std::array<double, 5> sums{header.loss_sum, static_cast<double>(header.rows), static_cast<double>(header.top1),
                             static_cast<double>(header.top5), header.signal != 0 ? 1.0 : 0.0};
  all_reduce_.sum(sums);
  require<ExchangeError>(sums[1] > 0, "sync: batch {} has no rows on any of {} ranks", header.batch, all_reduce_.ranks());
  const Span<float> statistics = source_.arena().batch_statistics();
  if (!statistics.empty()) {
    const auto weight = static_cast<float>(static_cast<double>(header.rows) / sums[1]);
    all_reduce_.start_scaled(statistics, weight);
  }
  header.loss_sum = sums[0];
  header.rows = static_cast<std::int32_t>(sums[1]);
  header.top1 = static_cast<std::int32_t>(sums[2]);
  header.top5 = static_cast<std::int32_t>(sums[3]);
  header.signal = static_cast<std::int32_t>(sums[4]);
}

void SynchronousTrainer::check_replicas(std::int64_t update) {
  const auto sums = all_reduce_.gather(checksum(source_.arena().state()));
  for (std::size_t rank = 1; rank < sums.size(); ++rank) {
    require<ExchangeError>(sums[rank] == sums[0],
                           "sync: after update {} the model of rank {} has checksum {:016x}, rank 0 has {:016x}", update, rank,
                           sums[rank], sums[0]);
  }
}

}  // namespace apam::exchange
