#include "apam/exchange/local/direct.h"

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/worker.h"

namespace apam::exchange {
namespace {

/// Holds the latest reply for the worker in the same thread.
class DirectTransport final : public MasterTransport {
 public:
  int workers() const override { return 1; }
  std::string_view name() const override { return "none (one process)"; }
  std::span<const GradientMessage> poll(Duration /*timeout*/) override { return {}; }
  void send(int /*worker*/, const Reply& reply, const VersionRef& version) override {
    latest_ = {reply, version ? version.weights() : ConstSpan<float>()};
  }
  void finish() override {}

  const Delivery& latest() const { return latest_; }

 private:
  Delivery latest_;  // its weights change with the next update, after the gradient on them
};

}  // namespace

HistoryLayout in_place(const engine::ParameterLayout& layout) {
  return {.weights = layout.weights_size(), .statistics = layout.statistics_size(), .window = 1, .slots = 1};
}

void train_directly(MasterState& master, GradientSource& source, Control& control, Observer& observer) {
  require<InputError>(master.workers() == 1, "local training: the master waits for {} workers, expected 1", master.workers());
  Worker worker(source);
  DirectTransport transport;
  const auto take_one = [&](const Event& event) { take({&event, 1}, control.now(), master, transport, observer); };
  take_one(Joined{0});
  while (worker.accept(transport.latest())) {
    if (const int signal = control.stop_signal(); signal != 0) {
      take_one(StopRequested{signal});
      master.on(Departed{0, "the run has stopped"}, control.now());  // returns its leases
      break;
    }
    const auto [header, values] = worker.next();
    take_one(GradientReady{{0, header, values}});
  }
  tell_end(master, control.now(), transport, observer);
}

}  // namespace apam::exchange
