#include "apam/exchange/worker.h"

#include "apam/exchange/buckets.h"
#include "apam/exchange/error.h"

namespace apam::exchange {
namespace {

/// Offers gradients to a transport, from the last parameter on, as they become complete.
class EarlyOffers {
 public:
  EarlyOffers(GradientSource& source, WorkerTransport& transport)
      : source_(source), parameters_(source.arena().layout(), 1), sends_early_(transport.sends_early()) {
    if (!sends_early_) return;
    source_.on_gradient_ready([this, &transport](engine::ParameterId id) {
      parameters_.ready(id);
      const Bucket* last = nullptr;
      while (const Bucket* one = parameters_.take()) last = one;
      if (last != nullptr) transport.offer(source_.arena().outgoing(), last->offset);
    });
  }
  ~EarlyOffers() {
    if (sends_early_) source_.on_gradient_ready({});
  }
  EarlyOffers(const EarlyOffers&) = delete;
  EarlyOffers& operator=(const EarlyOffers&) = delete;

  void next_gradient() { parameters_.reset(); }

 private:
  GradientSource& source_;
  BucketQueue parameters_;  // one in each bucket
  bool sends_early_;
};

}  // namespace

bool Worker::accept(const Delivery& delivery) {
  const Reply& reply = delivery.reply;
  check(reply);
  version_ = reply.version;
  for (int i = 0; i < reply.lease_count; ++i) {
    leases_.push_back(reply.leases.at(static_cast<std::size_t>(i)));
    source_.prepare({leases_.back()});
  }
  if (reply.verdict == Verdict::stop) return false;
  require<ExchangeError>(!leases_.empty() || ahead_, "worker: weights of version {} came without a lease", reply.version);
  const engine::ParameterArena& arena = source_.arena();
  if (arena.device().kind == DeviceKind::cpu) {
    arena.read_weights_from(delivery.weights);
  } else {
    if (delivery.weights.data() != arena.weights().data()) copy(delivery.weights, arena.weights());
    arena.rounded().outdate();
  }
  return true;
}

Worker::Gradient Worker::compute() {
  require<ExchangeError>(!leases_.empty(), "worker: no lease to compute at version {}", version_);
  const engine::ParameterArena& arena = source_.arena();
  if (!other_.empty()) {
    const Span<float> latest = arena.outgoing();
    arena.write_outgoing_to(other_);
    other_ = latest;
  }
  GradientHeader header = source_.compute({leases_.front()});
  header.batch = leases_.front();
  header.computed_at = version_;
  leases_.pop_front();
  return {header, arena.outgoing()};
}

Worker::Gradient Worker::next() {
  if (!ahead_) return compute();
  const Gradient gradient = *ahead_;
  ahead_.reset();
  return gradient;
}

void Worker::compute_ahead() {
  if (!other_.empty() && !leases_.empty()) ahead_ = compute();
}

std::int64_t Worker::run(WorkerTransport& transport, Control& control) {
  require<ExchangeError>(other_.empty() || transport.keeps_weights(),
                         "worker: computing ahead needs weights that stay while newer ones arrive, the transport has one copy");
  EarlyOffers offers(source_, transport);
  std::int64_t gradients = 0;
  while (accept(transport.pull())) {
    offers.next_gradient();
    auto [header, values] = next();
    const bool cancelled = transport.cancelled(header.computed_at);
    if (cancelled) header = {.computed_at = header.computed_at, .batch = header.batch, .cancelled = 1};
    header.signal = control.stop_signal();
    transport.push(header, cancelled ? ConstSpan<float>() : values);
    if (!cancelled) ++gradients;
    offers.next_gradient();
    compute_ahead();
  }
  return gradients;
}

}  // namespace apam::exchange
