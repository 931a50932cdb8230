#include "tests/cases/net_requests.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "engine/optim/optimizer.h"
#include "nets/net.h"

namespace apam::cases {
namespace {

using namespace kernels;

/// Records the requests of an Exec as long as it lives.
class Recorder {
 public:
  Recorder(Exec& exec, NetRequests& requests) : exec_(exec), requests_(requests) {
    exec.tell_requests([this](const KernelRequest& request) { for_each_operation([&]<class Op>() { record<Op>(request); }); });
  }
  ~Recorder() { exec_.tell_requests({}); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// The phase, and the layer if known, of the requests that follow.
  void enter(Phase phase, std::string layer = {}) {
    phase_ = phase;
    layer_ = std::move(layer);
  }

  /// A parameter's gradient is complete: the latest backward passes without a layer computed it.
  void name_layer(std::string_view parameter) {
    const std::string layer(parameter.substr(0, parameter.rfind('.')));
    name_latest<Conv2d>(layer);
    name_latest<BatchNorm>(layer);
    name_latest<Linear>(layer);
  }

 private:
  template <class Op>
  void record(const KernelRequest& request) {
    const auto* problem = request.problem_as<typename Op::Problem>();
    if (problem == nullptr) return;
    const auto pass = std::find(Op::pass_names.begin(), Op::pass_names.end(), request.pass) - Op::pass_names.begin();
    requests_.of<Op>().push_back({*problem, static_cast<typename Op::Pass>(pass), phase_, layer_});
  }
  template <class Op>
  void name_latest(const std::string& layer) {
    constexpr typename Op::Pass kForward{};
    auto& list = requests_.of<Op>();
    for (auto one = list.rbegin(); one != list.rend() && one->layer.empty() && one->pass != kForward; ++one) one->layer = layer;
  }

  Exec& exec_;
  NetRequests& requests_;
  Phase phase_ = Phase::training;
  std::string layer_;
};

/// Runs a training step, the updates of all rules and an evaluation on one image.
NetRequests dry_run(const TrainedNet& trained) {
  NetRequests requests;
  requests.name = trained.name;
  const auto net = nets::make_net(trained.name, trained.classes);
  Exec exec({.kernels = KernelSelection::parse("native")});
  const engine::ParameterArena arena(exec.device(), net->layout());  // zeros: their values do not matter
  const engine::Shape images{1, 32, 32, 3};
  const std::vector<float> pixels(images.size());
  const std::vector<std::int32_t> labels(1);
  engine::TrainingStep training(exec, arena, nets::forward_of(*net), images, net->classes());
  engine::EvaluationStep evaluation(exec, arena, nets::forward_of(*net), images, net->classes());

  Recorder recorder(exec, requests);
  training.on_gradient_ready([&](engine::ParameterId id) {
    recorder.name_layer(net->layout().parameters().at(static_cast<std::size_t>(id.index)).name);
  });
  training.load(std::span(pixels), std::span(labels), 1.0F);
  training.compute_gradients();
  for (const auto rule : OptimizerStep::rules) {
    recorder.enter(Phase::update, std::string(engine::to_string(rule)));
    const double momentum = engine::has_momentum(rule) ? 0.9 : 0.0;
    engine::Optimizer(exec.device(), net->layout().weights_size(), {.rule = rule, .momentum = momentum}).choose_kernel(exec);
  }
  recorder.enter(Phase::update, "statistics");
  engine::update_running_statistics(exec, arena.batch_statistics(), arena.running_statistics());
  recorder.enter(Phase::evaluation);
  evaluation.run(std::span(pixels), std::span(labels));
  return requests;
}

template <class Problem>
void multiply(Problem& problem, std::int64_t factor, std::int64_t divisor = 1) {
  const auto scale = [&](auto& extent) {
    using Extent = std::remove_reference_t<decltype(extent)>;
    extent = static_cast<Extent>(std::max<std::int64_t>(1, std::int64_t{extent} * factor / divisor));
  };
  if constexpr (requires { scale(problem.n); }) scale(problem.n);
  if constexpr (requires { scale(problem.rows); }) scale(problem.rows);
  if constexpr (requires { scale(problem.size); }) scale(problem.size);
}

}  // namespace

std::span<const TrainedNet> trained_nets() {
  static constexpr std::array<TrainedNet, 3> kNets{{{"allcnn", 10, 100}, {"resnet18", 10, 80}, {"wrn28-5", 1000, 100}}};
  return kNets;
}

NetRequests requests_of(const TrainedNet& net, int batch) {
  static std::map<std::pair<std::string, int>, NetRequests> runs;
  auto run = runs.find({std::string(net.name), net.classes});
  if (run == runs.end()) run = runs.emplace(std::pair(std::string(net.name), net.classes), dry_run(net)).first;
  NetRequests requests = run->second;
  for_each_operation([&]<class Op>() {
    for (Request<Op>& request : requests.of<Op>()) {
      multiply(request.problem, batch, request.phase == Phase::update ? net.batch : 1);
    }
  });
  return requests;
}

}  // namespace apam::cases
