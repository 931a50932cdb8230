#include "apam/exchange/local/direct.h"

#include "apam/exchange/worker.h"

namespace apam::exchange {

void train_directly(Master& master, GradientSource& source, Control& control) {
  require<InputError>(source.arena().weights().data() == master.weights().data(),
                      "local training: source and master must use the same weights");
  Worker worker(source);
  Reply reply = master.welcome(0);
  while (worker.accept(reply)) {
    if (const int signal = control.stop_signal(); signal != 0) return master.stop(signal);
    const GradientHeader header = worker.compute();
    reply = master.handle({0, header, source.arena().outgoing()}, control.now());
  }
  require<InputError>(master.done(), "local training: the master waits for more than one worker");
}

}  // namespace apam::exchange
