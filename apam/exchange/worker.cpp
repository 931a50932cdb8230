#include "apam/exchange/worker.h"

#include "apam/exchange/error.h"

namespace apam::exchange {

bool Worker::accept(const Delivery& delivery) {
  const Reply& reply = delivery.reply;
  check(reply);
  version_ = reply.version;
  for (int i = 0; i < reply.lease_count; ++i) {
    leases_.push_back(reply.leases.at(static_cast<std::size_t>(i)));
    source_.prepare({leases_.back()});
  }
  if (reply.verdict == Verdict::stop) return false;
  require<ExchangeError>(!leases_.empty(), "worker: weights of version {} came without a lease", reply.version);
  const engine::ParameterArena& arena = source_.arena();
  if (arena.device().kind == DeviceKind::cpu) {
    arena.read_weights_from(delivery.weights);
  } else if (delivery.weights.data() != arena.weights().data()) {
    copy(delivery.weights, arena.weights());
    arena.rounded().outdate();
  }
  return true;
}

GradientHeader Worker::compute() {
  require<ExchangeError>(!leases_.empty(), "worker: no lease to compute at version {}", version_);
  GradientHeader header = source_.compute({leases_.front()});
  header.batch = leases_.front();
  header.computed_at = version_;
  leases_.pop_front();
  return header;
}

std::int64_t Worker::run(WorkerTransport& transport, Control& control) {
  std::int64_t gradients = 0;
  while (accept(transport.pull())) {
    GradientHeader header = compute();
    const bool cancelled = transport.cancelled(version_);
    if (cancelled) header = {.computed_at = version_, .batch = header.batch, .cancelled = 1};
    header.signal = control.stop_signal();
    transport.push(header, cancelled ? ConstSpan<float>() : source_.arena().outgoing());
    if (!cancelled) ++gradients;
  }
  return gradients;
}

}  // namespace apam::exchange
