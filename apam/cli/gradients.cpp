#include <iostream>

#include "apam/cli/commands.h"
#include "apam/training/factories.h"
#include "apam/training/usage_error.h"
#include "kernels/runtime/cores.h"
#include "nets/gradient_check.h"

namespace apam::cli {

int gradients(const training::GradientsOptions& options) {
  const int threads = options.machine.threads > 0 ? options.machine.threads : available_cores();
  Exec exec(exec_options(options.machine, threads));
  const auto net = training::checking_usage([&] { return nets::make_net(options.net.name, options.net.classes.value_or(10)); });
  const auto print = [](const nets::GradientSummary& summary) {
    std::cout << fmt::format("loss {:.6f}  {} of {} images right", summary.loss, summary.top1, summary.rows) << std::endl;
  };
  nets::compute_gradients(exec, *net, {.weights = options.weights, .batch = options.batch, .out = options.out}, print);
  std::cout << "gradients in " << options.out << std::endl;
  return 0;
}

}  // namespace apam::cli
