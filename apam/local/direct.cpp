#include "apam/local/direct.h"

#include "apam/worker.h"

namespace apam::exchange {

void train_directly(Master& master, GradientSource& source) {
  require<InputError>(source.arena().weights().data() == master.weights().data(),
                      "local training: the gradients must be computed on the master's own weights");
  Worker worker(source);
  Reply reply = master.welcome(0);
  while (worker.accept(reply)) reply = master.handle({0, worker.compute(), source.arena().outgoing()});
  require<InputError>(master.done(), "local training: the master waits for more than one worker");
}

}  // namespace apam::exchange
