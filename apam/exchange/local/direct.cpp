#include "apam/exchange/local/direct.h"

#include "apam/exchange/worker.h"

namespace apam::exchange {

void train_directly(Master& master, GradientSource& source, Control& control) {
  const Span<float> weights = source.arena().weights();
  const bool shared = weights.data() == master.weights().data();
  require<InputError>(shared != master.delays(), "local training: source and master must have {} weights",
                      master.delays() ? "separate" : "the same");
  Worker worker(source);
  Reply reply = master.welcome(0);
  while (worker.accept(reply)) {
    if (const int signal = control.stop_signal(); signal != 0) return master.stop(signal);
    if (!shared) copy(master.weights_of(reply), weights);
    const GradientHeader header = worker.compute();
    reply = master.handle({0, header, source.arena().outgoing()}, control.now());
  }
  require<InputError>(master.done(), "local training: the master waits for more than one worker");
}

}  // namespace apam::exchange
