#include "apam/exchange/leases.h"

#include <algorithm>

#include "apam/exchange/error.h"

namespace apam::exchange {

Leases::Leases(int workers, std::int64_t total)
    : total_(total), next_(std::min<std::int64_t>(total, 2 * std::int64_t{workers})) {
  require<InputError>(workers >= 1, "leases: there must be at least one worker, got {}", workers);
  require<InputError>(total >= 0, "leases: the number of batches must not be negative, got {}", total);
  outstanding_.resize(static_cast<std::size_t>(workers));
}

void Leases::deal_first(int worker, Reply& reply) {
  for (const std::int64_t batch : {std::int64_t{worker}, std::int64_t{worker} + workers()}) {
    if (batch < total_) deal(worker, batch, reply);
  }
}

void Leases::fulfil(int worker, std::int64_t batch) {
  auto& leases = outstanding_.at(static_cast<std::size_t>(worker));
  require<ExchangeError>(!leases.empty(), "leases: worker {} answers for batch {}, but holds no lease", worker, batch);
  require<ExchangeError>(leases.front() == batch, "leases: worker {} answers for batch {}, its oldest lease is {}", worker,
                         batch, leases.front());
  leases.pop_front();
}

void Leases::deal_next(int worker, Reply& reply) {
  if (next_ < total_) deal(worker, next_++, reply);
}

void Leases::deal(int worker, std::int64_t batch, Reply& reply) {
  outstanding_.at(static_cast<std::size_t>(worker)).push_back(batch);
  reply.leases.at(static_cast<std::size_t>(reply.lease_count++)) = batch;
}

}  // namespace apam::exchange
