// What trials and their verification promise: kernels with one fault each must be found out, and a case list must describe
// the nets that it claims to describe.
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <span>

#include "engine/ops/ops.h"
#include "kernels/reference/arithmetic.h"
#include "kernels/reference/linear.h"
#include "nets/net.h"
#include "tests/cases/cases.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr Linear::Problem kProblem{.n = 6, .c = 9, .k = 5};

const float* floats(In operand) { return operand.as<float>("operand").data(); }
float* floats(Out operand) { return operand.as<float>("operand").data(); }

/// The naive linear layer, followed by a fault in its outputs.
class Tampered final : public Linear::Kernel {
 public:
  using Fault = std::function<void(Span<float>)>;
  explicit Tampered(Fault fault) : fault_(std::move(fault)) {}

  void forward(Exec&, In x, const Weights& w, ConstSpan<float> b, Out y) override {
    reference::linear_forward(kProblem, floats(x), w.data(), b.data(), floats(y));
    fault_(y.as<float>("y"));
  }
  void backward_input(Exec&, In dy, const Weights& w, Out dx, Write write) override {
    reference::linear_backward_input(kProblem, floats(dy), w.data(), floats(dx), write);
    fault_(dx.as<float>("dx"));
  }
  void backward_weight(Exec&, In x, In dy, Span<float> dw, Span<float> db, Write) override {  // ignores Write::add
    reference::linear_backward_weight(kProblem, floats(x), floats(dy), dw.data(), db.data(), Write::overwrite);
    fault_(dw);
  }

 private:
  Fault fault_;
};

std::string faults(Linear::Pass pass, const Tampered::Fault& fault, Write write = Write::overwrite) {
  Exec exec;
  support::KernelCheck<Linear> samples(exec, kProblem);
  Tampered kernel(fault);
  return support::verify(exec, samples, kernel, pass, samples.expected(pass), write);
}

constexpr auto kNothing = [](Span<float>) {};

TEST(Verify, accepts_a_right_kernel) {
  EXPECT_EQ(faults(Linear::Pass::forward, kNothing), "");
  EXPECT_EQ(faults(Linear::Pass::backward_input, kNothing, Write::add), "");
  EXPECT_EQ(faults(Linear::Pass::backward_weight, kNothing), "");
}

TEST(Verify, finds_an_element_left_unwritten) {
  Exec exec;
  support::KernelCheck<Linear> samples(exec, kProblem);
  for (const auto& output : samples.outputs(Linear::Pass::forward)) {
    for (const float value : support::on_host(output.values)) EXPECT_TRUE(std::isnan(value));
  }
  const auto skip_last = [](Span<float> y) { y.host().back() = std::numeric_limits<float>::quiet_NaN(); };
  EXPECT_NE(faults(Linear::Pass::forward, skip_last).find("1 of 30 elements are wrong"), std::string::npos);
}

TEST(Verify, finds_writing_past_either_end) {
  const auto past_the_end = [](Span<float> y) { y.data()[y.size()] = 0; };
  const auto before_the_start = [](Span<float> y) { y.data()[-1] = 0; };
  EXPECT_EQ(faults(Linear::Pass::forward, past_the_end), "something was written outside the operands\n");
  EXPECT_EQ(faults(Linear::Pass::forward, before_the_start), "something was written outside the operands\n");
}

TEST(Verify, finds_a_small_error_in_one_element) {
  const auto nudge = [](Span<float> y) { y.host()[17] += 1e-4F; };
  EXPECT_NE(faults(Linear::Pass::forward, nudge).find("the worst, [17]"), std::string::npos);
}

TEST(Verify, finds_a_kernel_that_ignores_add) { EXPECT_NE(faults(Linear::Pass::backward_weight, kNothing, Write::add), ""); }

TEST(Verify, finds_a_kernel_that_always_adds) {
  const auto add_to_unwritten = [](Span<float> dx) {
    for (float& value : dx.host()) value += std::numeric_limits<float>::quiet_NaN();
  };
  EXPECT_NE(faults(Linear::Pass::backward_input, add_to_unwritten).find("54 of 54"), std::string::npos);
}

TEST(KernelCheck, reading_past_an_input_spoils_the_result) {
  // A linear layer that reads one row too many of x finds NaN there.
  class ReadsTooFar final : public Linear::Kernel {
   public:
    void forward(Exec&, In x, const Weights& w, ConstSpan<float> b, Out y) override {
      reference::linear_forward(kProblem, floats(x) + kProblem.c, w.data(), b.data(), floats(y));
    }
    void backward_input(Exec&, In, const Weights&, Out, Write) override {}
    void backward_weight(Exec&, In, In, Span<float>, Span<float>, Write) override {}
  };
  Exec exec;
  support::KernelCheck<Linear> samples(exec, kProblem);
  ReadsTooFar kernel;
  samples.run(exec, kernel, Linear::Pass::forward);
  const auto y = support::on_host(samples.outputs(Linear::Pass::forward).front().values);
  for (std::size_t k = 0; k < 5; ++k) EXPECT_TRUE(std::isnan(y[5 * 5 + k])) << k;
  EXPECT_FALSE(std::isnan(y.front()));
}

TEST(KernelCheck, draws_by_seed_only) {
  const Conv2d::Problem problem{.n = 2, .h = 9, .w = 9, .c = 5, .k = 3, .r = 3, .s = 3};
  Exec one({.threads = 1}), three({.threads = 3});
  support::KernelCheck<Conv2d> first(one, problem, 5), again(three, problem, 5), other(one, problem, 6);
  for (const auto pass : {Conv2d::Pass::forward, Conv2d::Pass::backward_input, Conv2d::Pass::backward_weight}) {
    EXPECT_EQ(first.expected(pass), again.expected(pass));
    EXPECT_NE(first.expected(pass), other.expected(pass));
  }
}

TEST(KernelCheck, resets_operands_that_are_updated_in_place) {
  Exec exec;
  support::KernelCheck<OptimizerStep> samples(exec, {.size = 100, .rule = OptimizerStep::Rule::amsgrad});
  const auto outputs = samples.outputs(OptimizerStep::Pass::update);
  ASSERT_EQ(outputs.size(), 4U);
  EXPECT_TRUE(outputs.front().before.empty()) << "the weights before the steps are an operand of their own";
  for (const auto& output : std::span(outputs).subspan(1)) {
    EXPECT_EQ(support::on_host(output.values), support::on_host(output.before)) << output.name;
  }
}

/// The problems of the training steps of one net, per image.
template <class Op>
std::vector<cases::Request<Op>> training_requests(const cases::TrainedNet& net, int batch = 1) {
  auto all = cases::requests_of(net, batch).of<Op>();
  std::erase_if(all, [](const auto& request) { return request.phase != cases::Phase::training; });
  return all;
}

TEST(Cases, have_the_parameters_of_the_nets) {
  for (const cases::TrainedNet& net : cases::trained_nets()) {
    const auto steps = cases::net_cases<OptimizerStep>(0, {std::string(net.name)});
    ASSERT_EQ(steps.size(), OptimizerStep::rules.size());
    const auto weights = nets::make_net(net.name, net.classes)->layout().weights_size();
    for (const auto& step : steps) EXPECT_EQ(step.problem.size, static_cast<std::int64_t>(weights)) << step.name;
  }
}

TEST(Cases, cost_what_the_nets_cost) {
  const auto gflops = [](const cases::TrainedNet& net) {
    double sum = 0;
    for (const auto& conv : training_requests<Conv2d>(net))
      sum += conv.pass == Conv2d::Pass::forward ? conv.problem.flops() : 0;
    for (const auto& one : training_requests<Linear>(net)) sum += one.pass == Linear::Pass::forward ? one.problem.flops() : 0;
    return 1e-9 * sum;
  };
  EXPECT_NEAR(gflops({.name = "allcnn"}), 0.5639, 5e-5);
  EXPECT_NEAR(gflops({.name = "resnet18"}), 1.1108, 5e-5);
  EXPECT_NEAR(gflops({.name = "wrn28-5", .classes = 1000}), 2.6361, 5e-5);
}

TEST(Cases, count_the_layers_that_share_a_problem) {
  const auto layers = [](const auto& all) {
    int sum = 0;
    for (const auto& one : all) sum += one.layers;
    return sum;
  };
  const struct {
    std::string net;
    int convolutions, norms;
  } expected[] = {{"allcnn", 9, 9}, {"resnet18", 20, 20}, {"wrn28-5", 28, 25}};
  for (const auto& [net, convolutions, norms] : expected) {
    EXPECT_EQ(layers(cases::net_cases<Conv2d>(0, {net})), convolutions) << net;
    EXPECT_EQ(layers(cases::net_cases<BatchNorm>(0, {net})), norms) << net;
  }
}

TEST(Cases, are_named_by_the_first_layer) {
  const auto convolutions = cases::net_cases<Conv2d>(0, {"resnet18"});
  EXPECT_EQ(convolutions.at(0).name, "resnet18/conv1");
  EXPECT_EQ(convolutions.at(1).name, "resnet18/layer1.0.conv1");
  EXPECT_EQ(convolutions.at(1).layers, 4);
  EXPECT_EQ(convolutions.at(2).name, "resnet18/layer2.0.conv1");
  EXPECT_EQ(cases::net_cases<BatchNorm>(0, {"resnet18"}).at(0).name, "resnet18/bn1");
  EXPECT_EQ(cases::net_cases<Linear>(0, {"resnet18"}).at(0).name, "resnet18/linear");
}

TEST(Cases, list_the_passes_that_the_nets_request) {
  using Pass = Conv2d::Pass;
  const auto convolutions = cases::net_cases<Conv2d>(0, {"resnet18"});
  EXPECT_EQ(convolutions.at(0).passes, (std::vector{Pass::forward, Pass::backward_weight}));  // images need no gradient
  EXPECT_EQ(convolutions.at(1).passes, (std::vector{Pass::forward, Pass::backward_weight, Pass::backward_input}));
  for (const auto& norm : cases::net_cases<BatchNorm>(0, {"resnet18"})) EXPECT_EQ(norm.passes.size(), 3U) << norm.name;
}

TEST(Cases, of_a_batch_are_those_that_the_net_requests_for_it) {
  const auto net = nets::make_net("resnet18", 10);
  Exec exec({.kernels = KernelSelection::parse("native")});
  const engine::ParameterArena arena(exec.device(), net->layout());
  const engine::Shape images{3, 32, 32, 3};
  engine::TrainingStep step(exec, arena, nets::forward_of(*net), images, net->classes());
  const std::vector<float> pixels(images.size());
  std::vector<Conv2d::Problem> convolutions;
  std::vector<Add::Problem> additions;
  exec.tell_requests([&](const KernelRequest& request) {
    if (const auto* problem = request.problem_as<Conv2d::Problem>()) convolutions.push_back(*problem);
    if (const auto* problem = request.problem_as<Add::Problem>()) additions.push_back(*problem);
  });
  const std::vector<std::int32_t> labels(3);
  step.load(std::span(pixels), std::span(labels), 1.0F);
  step.compute_gradients();
  exec.tell_requests({});
  const auto problems = [](const auto& requests) {
    std::vector<std::remove_cvref_t<decltype(requests.front().problem)>> all;
    for (const auto& request : requests) all.push_back(request.problem);
    return all;
  };
  EXPECT_EQ(convolutions, problems(training_requests<Conv2d>({.name = "resnet18"}, 3)));
  EXPECT_EQ(additions, problems(training_requests<Add>({.name = "resnet18"}, 3)));
}

TEST(Cases, have_unique_names) {
  for_each_operation([]<class Op>() {
    for (const int batch : {0, 2}) {
      auto all = cases::net_cases<Op>(batch);
      for (auto& edge_case : cases::edge_cases<Op>()) all.push_back(std::move(edge_case));
      std::set<std::string> names;
      for (const auto& named : all) EXPECT_TRUE(names.insert(named.name).second) << Op::name << " " << named.name;
      EXPECT_GE(names.size(), 5U) << Op::name;
    }
  });
}

TEST(Cases, take_the_requested_batch) {
  EXPECT_EQ(cases::net_cases<Conv2d>().front().problem.n, 100);
  EXPECT_EQ(cases::net_cases<Conv2d>(3).front().problem.n, 3);
}

}  // namespace
}  // namespace apam::kernels
