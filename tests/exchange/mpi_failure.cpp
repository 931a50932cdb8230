// A job in which one worker fails, ended as the program ends it. Under mpiexec it must end soon, with a non-zero exit code and
// one line with the reason. With a launcher other than MPICH's, that line must report the launcher.
#include <fmt/core.h>

#include <cstdio>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/worker.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

class FailingSource final : public GradientSource {
 public:
  void prepare(const BatchShare&) override {}
  GradientHeader compute(const BatchShare& share) override {
    if (share.batch == 6) throw InputError("image 17 cannot be read");
    return inner_.compute(share);
  }
  const engine::ParameterArena& arena() const override { return inner_.arena(); }
  void on_gradient_ready(std::function<void(engine::ParameterId)>) override {}

 private:
  QuadraticSource inner_{QuadraticOptions{}};
};

void run(const mpi::Environment& environment) {
  require<InputError>(environment.ranks() >= 2, "this test needs 2 ranks, there is {}", environment.ranks());
  const mpi::MessageSizes sizes{16, 16};
  ScriptedControl control;
  if (environment.rank() == 0) {
    Model model({}, sgd(0.1));
    Recorder recorder;
    MasterState master(model.updater, model.history, {.workers = environment.ranks() - 1, .schedule = {100000}});
    run_master(master, *mpi::make_master_transport({environment, sizes}), control, recorder);
  } else {
    FailingSource source;
    Worker(source).run(*mpi::make_worker_transport({environment, sizes}, source.arena().weights()), control);
  }
}

}  // namespace
}  // namespace apam::exchange::test

int main(int argc, char** argv) {
  try {
    const apam::exchange::mpi::Environment environment(argc, argv);
    apam::exchange::test::run(environment);
  } catch (const std::exception& error) {
    fmt::print(stderr, "failure: {}\n", error.what());
    apam::exchange::mpi::end_job(3);
  }
  return 0;
}
