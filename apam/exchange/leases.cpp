#include "apam/exchange/leases.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "apam/exchange/error.h"

namespace apam::exchange {

Leases::Leases(int workers, std::int64_t total, int first, BatchProgress done)
    : total_(total),
      first_(first),
      done_(std::move(done)),
      next_(std::min<std::int64_t>(places(), first * std::int64_t{workers})),
      counts_(done_.counts) {
  require<InputError>(workers >= 1, "leases: there must be at least one worker, got {}", workers);
  require<InputError>(total >= 0, "leases: the number of batches must not be negative, got {}", total);
  require<InputError>(first >= 1 && first <= Reply::kMostLeases, "leases: a worker starts with {}, expected 1 to {}", first,
                      Reply::kMostLeases);
  const auto& open = done_.open;
  const bool ascending = std::ranges::adjacent_find(open, std::greater_equal<>()) == open.end();
  require<InputError>(
      done_.next >= 0 && done_.next <= total && ascending && (open.empty() || (open.front() >= 0 && open.back() < done_.next)),
      "leases: {} batches below {} are open, of {}, expected ascending ones", open.size(), done_.next, total);
  workers_.resize(static_cast<std::size_t>(workers));
}

std::int64_t Leases::batch_at(std::int64_t place) const {
  const auto open = static_cast<std::int64_t>(done_.open.size());
  return place < open ? done_.open[static_cast<std::size_t>(place)] : done_.next + place - open;
}

std::vector<std::int64_t> Leases::first_batches(int worker) const {
  std::vector<std::int64_t> batches;
  for (int i = 0; i < first_; ++i) {
    const std::int64_t place = worker + std::int64_t{i} * workers();
    if (place < places()) batches.push_back(batch_at(place));
  }
  return batches;
}

BatchProgress Leases::progress() const {
  std::set<std::int64_t> open(returned_);
  open.insert(kept_.begin(), kept_.end());
  BatchProgress now{.next = std::max(done_.next, batch_at(next_)), .counts = counts_};
  now.counts.abandoned += static_cast<std::int64_t>(kept_.size());
  for (int worker = 0; worker < workers(); ++worker) {
    const auto& mine = workers_[static_cast<std::size_t>(worker)];
    const auto reserved = mine.started ? std::vector<std::int64_t>() : first_batches(worker);
    open.insert(reserved.begin(), reserved.end());
    open.insert(mine.leases.begin(), mine.leases.end());
    now.counts.abandoned += static_cast<std::int64_t>(mine.leases.size());
  }
  open.insert(done_.open.begin() + std::min<std::ptrdiff_t>(next_, std::ssize(done_.open)), done_.open.end());
  now.open.assign(open.begin(), open.end());
  return now;
}

void Leases::deal_first(int worker, Reply& reply) {
  workers_.at(static_cast<std::size_t>(worker)).started = true;
  for (const std::int64_t batch : first_batches(worker)) deal(worker, batch, reply);
}

void Leases::deal_next(int worker, Reply& reply) {
  if (!returned_.empty()) {
    const std::int64_t batch = *returned_.begin();
    returned_.erase(returned_.begin());
    deal(worker, batch, reply);
  } else if (next_ < places()) {
    deal(worker, batch_at(next_++), reply);
  }
}

void Leases::deal(int worker, std::int64_t batch, Reply& reply) {
  workers_.at(static_cast<std::size_t>(worker)).leases.push_back(batch);
  reply.leases.at(static_cast<std::size_t>(reply.lease_count++)) = batch;
  ++counts_.granted;
}

void Leases::check_oldest(int worker, std::int64_t batch) const {
  const auto& leases = workers_.at(static_cast<std::size_t>(worker)).leases;
  require<ExchangeError>(!leases.empty(), "leases: worker {} answers for batch {}, but holds no lease", worker, batch);
  require<ExchangeError>(leases.front() == batch, "leases: worker {} answers for batch {}, its oldest lease is {}", worker,
                         batch, leases.front());
}

std::int64_t Leases::pop(int worker) {
  auto& leases = workers_.at(static_cast<std::size_t>(worker)).leases;
  require<ExchangeError>(!leases.empty(), "leases: worker {} ends a lease, but holds none", worker);
  const std::int64_t batch = leases.front();
  leases.pop_front();
  return batch;
}

void Leases::apply(int worker) {
  pop(worker);
  ++counts_.applied;
}

void Leases::keep(int worker) { kept_.push_back(pop(worker)); }

void Leases::apply_kept() { counts_.applied += std::ssize(std::exchange(kept_, {})); }

void Leases::abandon_kept() {
  counts_.abandoned += std::ssize(kept_);
  returned_.insert(kept_.begin(), kept_.end());
  kept_.clear();
}

void Leases::refuse(int worker) {
  returned_.insert(pop(worker));
  ++counts_.refused;
}

void Leases::cancel(int worker) {
  returned_.insert(pop(worker));
  ++counts_.cancelled;
}

void Leases::abandon(int worker) {
  auto& mine = workers_.at(static_cast<std::size_t>(worker));
  if (!std::exchange(mine.started, true)) {  // those reserved for it
    const auto reserved = first_batches(worker);
    returned_.insert(reserved.begin(), reserved.end());
  }
  counts_.abandoned += static_cast<std::int64_t>(mine.leases.size());
  returned_.insert(mine.leases.begin(), mine.leases.end());
  mine.leases.clear();
}

}  // namespace apam::exchange
