// What trials and their verification promise: kernels with one fault each must be found out, and a case list must describe
// the nets that it claims to describe.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "kernels/reference/arithmetic.h"
#include "kernels/reference/linear.h"
#include "tests/cases/cases.h"
#include "tests/cases/nets.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr Linear::Problem kProblem{.n = 6, .c = 9, .k = 5};

/// The naive linear layer, and something that is done to its outputs afterwards.
class Tampered final : public Linear::Kernel {
 public:
  using Fault = std::function<void(Out)>;
  explicit Tampered(Fault fault) : fault_(std::move(fault)) {}

  void forward(Exec&, In x, In w, In b, Out y) override {
    reference::linear_forward(kProblem, x.data(), w.data(), b.data(), y.data());
    fault_(y);
  }
  void backward_input(Exec&, In dy, In w, Out dx, Write write) override {
    reference::linear_backward_input(kProblem, dy.data(), w.data(), dx.data(), write);
    fault_(dx);
  }
  void backward_weight(Exec&, In x, In dy, Out dw, Out db, Write) override {  // deaf to Write::add
    reference::linear_backward_weight(kProblem, x.data(), dy.data(), dw.data(), db.data(), Write::overwrite);
    fault_(dw);
  }

 private:
  Fault fault_;
};

std::string faults(Linear::Pass pass, const Tampered::Fault& fault, Write write = Write::overwrite) {
  Exec exec;
  Trial<Linear> trial(exec, kProblem);
  Tampered kernel(fault);
  return support::verify(exec, trial, kernel, pass, trial.expected(pass), write);
}

constexpr auto kNothing = [](Out) {};

TEST(Verify, finds_nothing_wrong_with_a_right_kernel) {
  EXPECT_EQ(faults(Linear::Pass::forward, kNothing), "");
  EXPECT_EQ(faults(Linear::Pass::backward_input, kNothing, Write::add), "");
  EXPECT_EQ(faults(Linear::Pass::backward_weight, kNothing), "");
}

TEST(Verify, finds_an_element_left_unwritten) {
  Exec exec;
  Trial<Linear> trial(exec, kProblem);
  for (const auto& output : trial.outputs(Linear::Pass::forward)) {
    for (const float value : support::on_host(output.values)) EXPECT_TRUE(std::isnan(value));
  }
  const auto skip_last = [](Out y) { y.host().back() = std::numeric_limits<float>::quiet_NaN(); };
  EXPECT_NE(faults(Linear::Pass::forward, skip_last).find("1 of 30 elements are wrong"), std::string::npos);
}

TEST(Verify, finds_writing_past_either_end) {
  const auto past_the_end = [](Out y) { y.data()[y.size()] = 0; };
  const auto before_the_start = [](Out y) { y.data()[-1] = 0; };
  EXPECT_EQ(faults(Linear::Pass::forward, past_the_end), "something was written outside the operands\n");
  EXPECT_EQ(faults(Linear::Pass::forward, before_the_start), "something was written outside the operands\n");
}

TEST(Verify, finds_a_small_error_in_one_element) {
  const auto nudge = [](Out y) { y.host()[17] += 1e-4F; };
  EXPECT_NE(faults(Linear::Pass::forward, nudge).find("the worst, [17]"), std::string::npos);
}

TEST(Verify, finds_a_kernel_that_is_deaf_to_add) { EXPECT_NE(faults(Linear::Pass::backward_weight, kNothing, Write::add), ""); }

TEST(Verify, finds_a_kernel_that_always_adds) {
  const auto add_to_unwritten = [](Out dx) {
    for (float& value : dx.host()) value += std::numeric_limits<float>::quiet_NaN();
  };
  EXPECT_NE(faults(Linear::Pass::backward_input, add_to_unwritten).find("54 of 54"), std::string::npos);
}

TEST(Trial, reading_past_an_input_spoils_the_result) {
  // A linear layer that reads one row too many of x finds NaN there.
  class ReadsTooFar final : public Linear::Kernel {
   public:
    void forward(Exec&, In x, In w, In b, Out y) override {
      reference::linear_forward(kProblem, x.data() + kProblem.c, w.data(), b.data(), y.data());
    }
    void backward_input(Exec&, In, In, Out, Write) override {}
    void backward_weight(Exec&, In, In, Out, Out, Write) override {}
  };
  Exec exec;
  Trial<Linear> trial(exec, kProblem);
  ReadsTooFar kernel;
  trial.run(exec, kernel, Linear::Pass::forward);
  const auto y = support::on_host(trial.outputs(Linear::Pass::forward).front().values);
  for (std::size_t k = 0; k < 5; ++k) EXPECT_TRUE(std::isnan(y[5 * 5 + k])) << k;
  EXPECT_FALSE(std::isnan(y.front()));
}

TEST(Trial, draws_by_seed_alone) {
  const Conv2d::Problem problem{.n = 2, .h = 9, .w = 9, .c = 5, .k = 3, .r = 3, .s = 3};
  Exec one({.threads = 1}), three({.threads = 3});
  Trial<Conv2d> first(one, problem, 5), again(three, problem, 5), other(one, problem, 6);
  for (const auto pass : {Conv2d::Pass::forward, Conv2d::Pass::backward_input, Conv2d::Pass::backward_weight}) {
    EXPECT_EQ(first.expected(pass), again.expected(pass));
    EXPECT_NE(first.expected(pass), other.expected(pass));
  }
}

TEST(Trial, prepares_updated_operands_with_what_they_start_from) {
  Exec exec;
  Trial<OptimizerStep> trial(exec, {.size = 100, .rule = OptimizerStep::Rule::amsgrad});
  const auto outputs = trial.outputs(OptimizerStep::Pass::update);
  ASSERT_EQ(outputs.size(), 4U);
  for (const auto& output : outputs) EXPECT_EQ(support::on_host(output.values), support::on_host(output.before)) << output.name;
}

TEST(Cases, describe_the_nets) {
  EXPECT_EQ(cases::allcnn().parameters(), 1'681'268);
  EXPECT_EQ(cases::resnet18().parameters(), 11'173'962);
  EXPECT_EQ(cases::wide_resnet().parameters(), 9'450'424);
  EXPECT_EQ(cases::wide_resnet(10).parameters(), 9'132'634);
}

TEST(Cases, cost_what_the_nets_cost) {
  const auto gflops = [](const cases::NetLayers& net) {
    double sum = net.linear ? 2e-9 * net.features * net.classes : 0;
    for (const auto& conv : net.convs) {
      sum += 2e-9 * conv.out_size() * conv.out_size() * conv.out * conv.window * conv.window * conv.in;
    }
    return sum;
  };
  EXPECT_NEAR(gflops(cases::allcnn()), 0.5639, 5e-5);
  EXPECT_NEAR(gflops(cases::resnet18()), 1.1108, 5e-5);
  EXPECT_NEAR(gflops(cases::wide_resnet()), 2.6361, 5e-5);
}

TEST(Cases, count_the_layers_that_share_a_problem) {
  const auto layers = [](const auto& all) {
    std::size_t sum = 0;
    for (const auto& one : all) sum += static_cast<std::size_t>(one.layers);
    return sum;
  };
  for (const cases::NetLayers& net : {cases::allcnn(), cases::resnet18(), cases::wide_resnet()}) {
    EXPECT_EQ(layers(cases::net_cases<Conv2d>(0, {net.name})), net.convs.size()) << net.name;
    EXPECT_EQ(layers(cases::net_cases<BatchNorm>(0, {net.name})), net.norms.size()) << net.name;
  }
}

TEST(Cases, have_names_of_their_own) {
  for_each_operation([]<class Op>() {
    for (const int batch : {0, 2}) {
      auto all = cases::net_cases<Op>(batch);
      for (auto& awkward : cases::awkward_cases<Op>()) all.push_back(std::move(awkward));
      std::set<std::string> names;
      for (const auto& named : all) EXPECT_TRUE(names.insert(named.name).second) << Op::name << " " << named.name;
      EXPECT_GE(names.size(), 5U) << Op::name;
    }
  });
}

TEST(Cases, take_the_batch_that_is_asked_for) {
  EXPECT_EQ(cases::net_cases<Conv2d>().front().problem.n, 100);
  EXPECT_EQ(cases::net_cases<Conv2d>(3).front().problem.n, 3);
}

}  // namespace
}  // namespace apam::kernels
