#include "apam/exchange/transport.h"

#include "apam/exchange/error.h"

namespace apam::exchange {

void check(const Reply& reply) {
  const auto verdict = static_cast<int>(reply.verdict);
  require<ExchangeError>(reply.verdict == Verdict::proceed || reply.verdict == Verdict::stop,
                         "reply: verdict {} is unknown, expected {} or {}", verdict, static_cast<int>(Verdict::proceed),
                         static_cast<int>(Verdict::stop));
  require<ExchangeError>(reply.lease_count >= 0 && reply.lease_count <= Reply::kMostLeases,
                         "reply: {} leases, expected 0 to {}", reply.lease_count, Reply::kMostLeases);
  require<ExchangeError>(reply.version >= 0, "reply: weights of version {}, expected 0 or more", reply.version);
  for (std::int32_t i = 0; i < reply.lease_count; ++i) {
    const std::int64_t lease = reply.leases.at(static_cast<std::size_t>(i));
    require<ExchangeError>(lease >= 0, "reply: a lease on batch {}, expected 0 or more", lease);
  }
}

}  // namespace apam::exchange
