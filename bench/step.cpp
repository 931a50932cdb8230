// Times whole training steps of a net on random images: forward, backward, AMSGrad and running statistics, without a data set
// or an exchange. Reports:
//   images_per_second   batch / median step time; on a GPU, the data is there already, and one timing is of 20 steps, between
//                       which the host does not wait
//   gflops              effective rate: the direct method's operations, regardless of each kernel's actual method, for all
//                       passes of convolutions and linear layers that a step runs / median step time
//   breakdown           time per kernel, from a few additional steps with a clock read at every kernel (bench/profile.h)
//   fma_peak_gflops     FMA peak of the cores, measured after the steps (bench/machine)
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apam/training/factories.h"
#include "bench/machine/machine.h"
#include "bench/profile.h"
#include "bench/program.h"
#include "engine/step.h"
#include "kernels/median.h"
#include "kernels/ops/conv2d.h"
#include "kernels/ops/linear.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/cores.h"
#include "kernels/runtime/philox.h"
#include "kernels/tuning_cache.h"
#include "nets/net.h"
#include "tests/cases/net_requests.h"

namespace {

using namespace apam;

constexpr int kStepsPerTimingOnGpu = 20;

struct Options {
  std::string net = "allcnn";
  int classes = 10;
  int batch = 100;
  int steps = 10;
  int warm_up = 2;
  int profiled = 3;
  std::string json;
  training::MachineOptions machine;
};

/// GFLOP per image of a step.
struct Work {
  double forward = 0, training = 0;
};

Work work_of(const Options& options) {
  const cases::NetRequests requests = cases::requests_of({.name = options.net, .classes = options.classes}, 1);
  Work work;
  const auto add = [&]<class Op>() {
    for (const auto& request : requests.of<Op>()) {
      if (request.phase != cases::Phase::training) continue;
      const double gflop = request.problem.flops() * 1e-9;
      work.training += gflop;
      if (request.pass == Op::Pass::forward) work.forward += gflop;
    }
  };
  add.operator()<kernels::Conv2d>();
  add.operator()<kernels::Linear>();
  return work;
}

/// Random images and labels of one step, on the device, the same in every run.
class Batch {
 public:
  Batch(const Options& options, Device device) {
    std::vector<float> images(static_cast<std::size_t>(options.batch) * 32 * 32 * 3);
    std::vector<std::int32_t> labels(static_cast<std::size_t>(options.batch));
    const Random random(0, Purpose::synthetic_data);
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = random.normal(i);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i) % options.classes;
    images_ = Buffer(device, images.size() * sizeof(float));
    labels_ = Buffer(device, labels.size() * sizeof(std::int32_t));
    copy(std::span(images), images_.as<float>());
    copy(std::span(labels), labels_.as<std::int32_t>());
  }
  ConstSpan<float> images() const { return images_.as<float>(); }  // (N, 32, 32, 3)
  Labels labels() const { return labels_.as<std::int32_t>(); }     // (N)

 private:
  Buffer images_, labels_;
};

struct Measured {
  std::vector<double> milliseconds;  // sorted
  double last_loss = 0;
  double fma_peak = 0;            // GFLOP/s
  double resident_peak_mib = 0;   // largest resident set of this process until after the timed steps
  std::uint64_t allocations = 0;  // number of buffers allocated during the timed steps
  std::size_t activations_peak = 0, activations_reserved = 0;
  nlohmann::ordered_json breakdown = nlohmann::ordered_json::array();

  double median() const { return kernels::median(milliseconds); }
};

/// The largest resident set of this process so far.
double resident_peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

Measured measure(const Options& options, const nets::Net& net, Exec& exec) {
  engine::ParameterArena arena(exec.device(), net.layout());
  arena.initialize(0);
  engine::Updater updater(exec, arena, {});
  const Batch batch(options, exec.device());
  engine::TrainingStep step(exec, arena, nets::forward_of(net), {options.batch, 32, 32, 3}, options.classes);

  Measured measured;
  const bool gpu = exec.device().kind == DeviceKind::cuda;
  const auto run_steps = [&](int steps) {
    engine::PendingScore pending;
    for (int i = 0; i < steps; ++i) pending = step.run(batch.images(), batch.labels(), updater);
    exec.synchronize();
    measured.last_loss = step.score(pending).mean_loss();
  };
  const int steps_per_timing = gpu ? kStepsPerTimingOnGpu : 1;
  std::uint64_t allocations = 0;
  for (int i = -options.warm_up; i < options.steps; ++i) {
    if (i == 0) allocations = Buffer::allocations();
    const auto start = std::chrono::steady_clock::now();
    run_steps(steps_per_timing);
    const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
    if (i >= 0) measured.milliseconds.push_back(elapsed.count() / steps_per_timing);
  }
  bench::require_no_reference(exec.report(), exec.selection());
  std::sort(measured.milliseconds.begin(), measured.milliseconds.end());
  measured.allocations = Buffer::allocations() - allocations;
  measured.activations_peak = step.activations().peak_bytes();
  measured.activations_reserved = step.activations().reserved_bytes();
  measured.resident_peak_mib = resident_peak_mib();
  if (options.profiled > 0) {
    bench::Profile profile(exec);
    for (int i = 0; i < options.profiled; ++i) {
      profile.begin_step();
      run_steps(1);
      profile.end_step();
    }
    measured.breakdown = profile.breakdown();
  }
  if (!gpu) measured.fma_peak = bench::fma_peak(exec.threads());
  return measured;
}

nlohmann::ordered_json describe(const Options& options, const nets::Net& net, const Exec& exec, const Measured& measured) {
  constexpr double kMib = 1024.0 * 1024.0;
  const Work work = work_of(options);
  const double images_per_second = options.batch / measured.median() * 1e3;
  nlohmann::ordered_json json{{"net", options.net},
                              {"classes", options.classes},
                              {"parameters", net.layout().parameter_count()},
                              {"batch", options.batch},
                              {"threads", exec.threads()},
                              {"precision", options.machine.precision},
                              {"steps", options.steps},
                              {"device", to_string(exec.device())},
                              {"cpu", kernels::cpu_model()},
                              {"images_per_second", images_per_second},
                              {"gflops", images_per_second * work.training},
                              {"fma_peak_gflops", measured.fma_peak}};
  json["milliseconds"] = {
      {"median", measured.median()}, {"min", measured.milliseconds.front()}, {"max", measured.milliseconds.back()}};
  json["gflop_per_image"] = {{"forward", work.forward}, {"training", work.training}};
  json["memory_mib"] = {{"activations_peak", static_cast<double>(measured.activations_peak) / kMib},
                        {"activations_reserved", static_cast<double>(measured.activations_reserved) / kMib},
                        {"workspace", static_cast<double>(exec.workspace_bytes() + exec.operand_copies_bytes()) / kMib},
                        {"resident_peak", measured.resident_peak_mib}};
  json["allocations"] = measured.allocations;
  json["last_loss"] = measured.last_loss;
  json["breakdown"] = measured.breakdown;
  json["selection"] = exec.selection().text();
  json["kernels"] = nlohmann::ordered_json::array();
  for (const KernelReport& kernel : exec.report()) {
    json["kernels"].push_back(
        {{"op", kernel.op}, {"problem", kernel.problem}, {"pass", kernel.pass}, {"provider", kernel.provider}});
  }
  return json;
}

int run(const Options& options) {
  const int threads = options.machine.threads > 0 ? options.machine.threads : available_cores();
  Exec exec(training::exec_options(options.machine, threads));
  const auto net = nets::make_net(options.net, options.classes);
  const Measured measured = measure(options, *net, exec);
  const auto json = describe(options, *net, exec, measured);
  const auto gflops = json["gflops"].get<double>();
  const bool gpu = exec.device().kind == DeviceKind::cuda;
  std::cout << fmt::format(
      "{}, {}, batch {}, {}: {:.1f} images/s, {:.{}f} ms per step ({:.{}f} .. {:.{}f}), {:.1f} GFLOP/s{}, {:.0f} MiB\n",
      options.net, options.machine.precision, options.batch,
      gpu ? to_string(exec.device()) : fmt::format("{} threads", threads), json["images_per_second"].get<double>(),
      measured.median(), gpu ? 3 : 1, measured.milliseconds.front(), gpu ? 3 : 1, measured.milliseconds.back(), gpu ? 3 : 1,
      gflops, gpu ? "" : fmt::format(" ({:.2f} of the FMA peak)", gflops / measured.fma_peak),
      json["memory_mib"]["resident_peak"].get<double>());
  std::cout << bench::in_words(measured.breakdown) << std::flush;
  if (!options.json.empty()) write_file(options.json, json.dump(2) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("step: times training steps (forward, backward, AMSGrad) on random images", "step");
  app.add_option("--net", options.net, "allcnn, resnet18 or wrn28-5")->capture_default_str();
  app.add_option("--classes", options.classes, "Number of classes")->capture_default_str()->check(bench::number(1, 1 << 20));
  app.add_option("--batch", options.batch, "Batch size")->capture_default_str()->check(bench::number(1, 1 << 16));
  app.add_option("--steps", options.steps, "Timed steps")->capture_default_str()->check(bench::number(1, 1 << 20));
  app.add_option("--warm-up", options.warm_up, "Warm-up steps, not timed")
      ->capture_default_str()
      ->check(bench::number(0, 1 << 20));
  app.add_option("--profile", options.profiled, "Additional steps for the breakdown by operation")
      ->capture_default_str()
      ->check(bench::number(0, 1 << 20));
  app.add_option("--threads", options.machine.threads, "[all cores]")->check(bench::number(1, 1024));
  app.add_option("--precision", options.machine.precision, "Type of activations: float32 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"float32", "bf16"}));
  app.add_option("--kernels", options.machine.kernels, "Providers, e.g. conv2d=onednn,*=auto")->capture_default_str();
  app.add_option("--device", options.machine.device, "cpu, cuda or cuda:INDEX")->capture_default_str();
  app.add_option("--kernel-cache", options.machine.kernel_cache, "Folder of kernel timings; '' disables it");
  app.add_option("--json", options.json, "Also write the result to this file");
  return bench::run_program(app, argc, argv, [&] { return run(options); });
}
