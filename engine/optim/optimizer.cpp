#include "engine/optim/optimizer.h"

#include <cmath>

namespace apam::engine {

using Step = kernels::OptimizerStep;

Step::Rule parse_rule(std::string_view text) {
  for (const auto rule : {Step::Rule::sgd, Step::Rule::adam, Step::Rule::amsgrad}) {
    if (to_string(rule) == text) return rule;
  }
  fail<InputError>("optimizer: expected amsgrad, adam or sgd, got '{}'", text);
}

std::string_view to_string(Step::Rule rule) {
  constexpr std::array<std::string_view, 3> names{"sgd", "adam", "amsgrad"};
  return names.at(static_cast<std::size_t>(rule));
}

Optimizer::Optimizer(Device device, std::size_t size, const OptimizerOptions& options) : options_(options), size_(size) {
  require<InputError>(options.learning_rate > 0, "optimizer: the learning rate must be above 0, got {}", options.learning_rate);
  require<InputError>(options.eps > 0, "optimizer: eps must be above 0, got {}", options.eps);
  require<InputError>(options.beta1 >= 0 && options.beta1 < 1, "optimizer: beta1 must be in [0, 1), got {}", options.beta1);
  require<InputError>(options.beta2 >= 0 && options.beta2 < 1, "optimizer: beta2 must be in [0, 1), got {}", options.beta2);
  require<InputError>(options.weight_decay >= 0, "optimizer: weight decay must not be negative, got {}", options.weight_decay);
  const std::size_t vectors = options.rule == Step::Rule::sgd ? 0 : options.rule == Step::Rule::adam ? 2 : 3;
  moments_ = Buffer(device, vectors * size * sizeof(float));
  zero(moments_.as<float>());
}

void Optimizer::step(Exec& exec, In gradients, Out weights) {
  require<ShapeError>(gradients.size() == size_ && weights.size() == size_,
                      "optimizer: {} gradients and {} weights for an optimizer of {}", gradients.size(), weights.size(), size_);
  ++steps_;
  const auto t = static_cast<double>(steps_);
  double rate = options_.learning_rate;
  Step::Moments moments;
  if (options_.rule != Step::Rule::sgd) {
    rate *= std::sqrt(1.0 - std::pow(options_.beta2, t)) / (1.0 - std::pow(options_.beta1, t));
    moments.m = moments_.as<float>().subspan(0, size_);
    moments.v = moments_.as<float>().subspan(size_, size_);
    if (options_.rule == Step::Rule::amsgrad) moments.vh = moments_.as<float>().subspan(2 * size_, size_);
  }
  const Step::Scalars scalars{static_cast<float>(rate), static_cast<float>(options_.beta1), static_cast<float>(options_.beta2),
                              static_cast<float>(options_.eps), static_cast<float>(options_.weight_decay)};
  kernels::kernel<Step>(exec, problem(), Step::Pass::update).update(exec, scalars, gradients, weights, moments);
}

void Optimizer::choose_kernel(Exec& exec) const { kernels::kernel<Step>(exec, problem(), Step::Pass::update); }

void update_running_statistics(Exec& exec, In batch, Out running, float momentum) {
  require<ShapeError>(batch.size() == running.size(), "running statistics: {} of the batch for {} running", batch.size(),
                      running.size());
  if (batch.empty()) return;
  using Average = kernels::RunningAverage;
  const Average::Problem problem{static_cast<std::int64_t>(batch.size())};
  kernels::kernel<Average>(exec, problem, Average::Pass::update).update(exec, momentum, batch, running);
}

}  // namespace apam::engine
