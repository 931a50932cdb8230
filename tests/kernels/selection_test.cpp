// The choice of providers: the text of --kernels, demands and preferences, and the limits of `auto`.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/cases/cases.h"
#include "tests/support/error_of.h"

namespace apam::kernels {
namespace {

using support::error_of;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Exec exec_with(std::string_view kernels) { return Exec({.kernels = KernelSelection::parse(kernels)}); }

TEST(KernelSelection, reads_demands_and_a_preference) {
  const auto selection = KernelSelection::parse("conv2d=onednn,conv2d.backward_weight=native,batch_norm=auto,*=reference");
  const auto expect = [&](std::string_view op, std::string_view pass, std::string_view provider, bool demanded) {
    const auto choice = selection.choice(op, pass);
    EXPECT_EQ(choice.provider, provider) << op << "." << pass;
    EXPECT_EQ(choice.demanded, demanded) << op << "." << pass;
  };
  expect("conv2d", "forward", "onednn", true);
  expect("conv2d", "backward_weight", "native", true);  // the pass overrides the operation
  expect("batch_norm", "backward", "auto", false);
  expect("linear", "forward", "reference", false);
  EXPECT_EQ(selection.text(), "conv2d=onednn,conv2d.backward_weight=native,batch_norm=auto,*=reference");
}

TEST(KernelSelection, a_plain_name_is_a_preference) {
  const auto choice = KernelSelection::parse("native").choice("relu", "forward");
  EXPECT_EQ(choice.provider, "native");
  EXPECT_FALSE(choice.demanded);
}

TEST(KernelSelection, takes_ours_for_native) {
  EXPECT_EQ(KernelSelection::parse("ours").text(), "native");
  EXPECT_EQ(KernelSelection::parse("*=ours").choice("relu", "forward").provider, "native");
  const auto selection = KernelSelection::parse("conv2d=ours,relu.forward=onednn,*=ours");
  EXPECT_EQ(selection.text(), "conv2d=native,relu.forward=onednn,*=native");
  EXPECT_EQ(selection.choice("conv2d", "forward").provider, "native");
  EXPECT_TRUE(selection.choice("conv2d", "forward").demanded);
  Exec exec({.kernels = selection});
  kernel<Add>(exec, {.size = 10}, Add::Pass::forward);
  EXPECT_EQ(exec.report().at(0).provider, "native");
}

TEST(KernelSelection, is_auto_by_default) {
  const auto choice = KernelSelection().choice("relu", "forward");
  EXPECT_EQ(choice.provider, "auto");
  EXPECT_FALSE(choice.demanded);
}

TEST(KernelSelection, rejects_other_text) {
  for (const char* text : {"", ",", "conv2d=", "=native", "conv2d==native", "a=b=c", "conv2d=native,", ",conv2d=native",
                           "conv2d=native,,relu=native", "conv2d=native,conv2d=reference", "native,reference"}) {
    const auto message = error_of<InputError>([&] { KernelSelection::parse(text); });
    EXPECT_TRUE(message.starts_with("kernels: ")) << text << ": " << message;
    EXPECT_FALSE(contains(message, "\n"));
  }
}

TEST(CheckSelection, accepts_names_in_the_tables) {
  for (const char* text : {"auto", "reference", "*=reference", "conv2d=reference", "conv2d.backward_input=reference",
                           "optimizer_step.update=auto,relu=reference"}) {
    EXPECT_NO_THROW(check_selection(KernelSelection::parse(text))) << text;
  }
}

TEST(CheckSelection, names_the_unknown_part_and_the_known_names) {
  const auto message = [](std::string_view text) {
    return error_of<InputError>([&] { check_selection(KernelSelection::parse(text)); });
  };
  EXPECT_TRUE(contains(message("convolution=reference"), "no operation 'convolution'"));
  EXPECT_TRUE(contains(message("convolution=reference"), "conv2d"));
  EXPECT_TRUE(contains(message("conv2d.backward=reference"), "no operation 'conv2d.backward'"));
  EXPECT_TRUE(contains(message("conv2d.=reference"), "no operation 'conv2d.'"));
  EXPECT_TRUE(contains(message("conv2d=mkl"), "no provider 'mkl' for 'conv2d'"));
  EXPECT_TRUE(contains(message("conv2d=mkl"), "reference"));
  EXPECT_TRUE(contains(message("*=mkl"), "no provider 'mkl'"));
}

constexpr Relu::Problem kRelu{.size = 1000};

TEST(Kernel, a_demand_is_met) {
  Exec exec = exec_with("relu=reference");
  kernel<Relu>(exec, kRelu, Relu::Pass::forward);
  ASSERT_EQ(exec.report().size(), 1U);
  EXPECT_EQ(exec.report()[0].op, "relu");
  EXPECT_EQ(exec.report()[0].problem, "1000");
  EXPECT_EQ(exec.report()[0].pass, "forward");
  EXPECT_EQ(exec.report()[0].provider, "reference");
  EXPECT_TRUE(exec.report()[0].measured.times.empty());
}

TEST(Kernel, a_demand_for_an_unknown_provider_is_an_error) {
  Exec exec = exec_with("relu=mkl");
  const auto message = error_of<KernelError>([&] { kernel<Relu>(exec, kRelu, Relu::Pass::forward); });
  EXPECT_TRUE(contains(message, "relu: no provider 'mkl'")) << message;
  EXPECT_TRUE(contains(message, "reference")) << message;
  EXPECT_TRUE(exec.report().empty());
}

/// Calls visit(implementation, problem, pass) for the first combination that a provider of `Op` does not support.
template <class Op, class Visit>
bool with_unsupported(Visit visit) {
  for (const auto& implementation : implementations<Op>()) {
    if (implementation.device != DeviceKind::cpu) continue;
    for (const auto& named : cases::edge_cases<Op>()) {
      for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
        const auto pass = static_cast<typename Op::Pass>(index);
        if (implementation.supports(named.problem, pass)) continue;
        visit(implementation, named.problem, pass);
        return true;
      }
    }
  }
  return false;
}

TEST(Kernel, an_unsupported_demand_is_an_error_and_a_preference_falls_back) {
  bool found = false;
  for_each_operation([&]<class Op>() {
    found |= with_unsupported<Op>([](const auto& implementation, const auto& problem, auto pass) {
      Exec demanding = exec_with(fmt::format("{}={}", Op::name, implementation.provider));
      const auto message = error_of<KernelError>([&] { kernel<Op>(demanding, problem, pass); });
      EXPECT_TRUE(contains(message, fmt::format("provider '{}' does not support", implementation.provider))) << message;
      EXPECT_TRUE(contains(message, problem.describe())) << message;
      Exec preferring = exec_with(implementation.provider);
      kernel<Op>(preferring, problem, pass);
      EXPECT_NE(preferring.report().at(0).provider, implementation.provider);
    });
  });
  if (!found) GTEST_SKIP() << "every provider of this build supports every edge case";
}

TEST(Kernel, a_preference_for_a_provider_without_the_operation_falls_back) {
  Exec exec = exec_with("*=mkl");  // check_selection rejects it; to kernel() it is a preference
  kernel<Relu>(exec, kRelu, Relu::Pass::forward);
  EXPECT_NE(exec.report().at(0).provider, "mkl");
}

TEST(Kernel, auto_takes_the_naive_loops_only_as_the_last_resort) {
  for_each_operation([]<class Op>() {
    const auto problem = cases::edge_cases<Op>().back().problem;
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      const auto all = implementations<Op>();
      const auto others = std::count_if(all.begin(), all.end(), [&](const auto& candidate) {
        return candidate.device == DeviceKind::cpu && candidate.provider != "reference" && candidate.supports(problem, pass);
      });
      Exec exec;
      kernel<Op>(exec, problem, pass);
      const auto& line = exec.report().at(0);
      EXPECT_EQ(line.provider == "reference", others == 0) << Op::name;
      EXPECT_EQ(line.measured.times.size(), others > 1 ? static_cast<std::size_t>(others) : 0U) << Op::name;
    }
  });
}

TEST(Kernel, is_made_once_per_pass_of_a_problem) {
  Exec exec = exec_with("reference");
  const auto& forward = kernel<Relu>(exec, kRelu, Relu::Pass::forward).get();
  EXPECT_NE(&kernel<Relu>(exec, kRelu, Relu::Pass::backward).get(), &forward);
  EXPECT_EQ(&kernel<Relu>(exec, kRelu, Relu::Pass::forward).get(), &forward);
  EXPECT_NE(&kernel<Relu>(exec, {.size = 1001}, Relu::Pass::forward).get(), &forward);
  EXPECT_EQ(exec.report().size(), 3U);  // one line per choice, none for a lookup
}

TEST(Kernel, requests_reach_the_listener) {
  Exec exec = exec_with("reference");
  std::vector<std::string> told;
  exec.tell_requests([&](const KernelRequest& request) {
    told.push_back(fmt::format("{} {} {}", request.op, request.pass, request.problem()));
  });
  kernel<Relu>(exec, kRelu, Relu::Pass::forward);
  kernel<Relu>(exec, kRelu, Relu::Pass::backward);
  kernel<Relu>(exec, kRelu, Relu::Pass::forward);
  EXPECT_EQ(told, (std::vector<std::string>{"relu forward 1000", "relu backward 1000", "relu forward 1000"}));
  exec.tell_requests({});
  kernel<Relu>(exec, kRelu, Relu::Pass::forward);
  EXPECT_EQ(told.size(), 3U);
}

TEST(Implementations, end_with_the_naive_loops_which_support_everything) {
  for_each_operation([]<class Op>() {
    const auto all = implementations<Op>();
    ASSERT_FALSE(all.empty());
    EXPECT_EQ(all.back().provider, "reference");
    for (const auto& named : cases::edge_cases<Op>()) {
      for (std::size_t pass = 0; pass < Op::pass_names.size(); ++pass) {
        EXPECT_TRUE(all.back().supports(named.problem, static_cast<typename Op::Pass>(pass)));
      }
    }
    std::set<std::pair<DeviceKind, std::string_view>> names;
    for (const auto& implementation : all) {
      EXPECT_TRUE(names.insert({implementation.device, implementation.provider}).second) << Op::name;
    }
  });
}

}  // namespace
}  // namespace apam::kernels
