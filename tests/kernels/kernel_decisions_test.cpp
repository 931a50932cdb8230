// Decisions of `auto` that another Exec adopts: the same choices without timing, or an error.
#include "kernels/runtime/kernel_decisions.h"

#include <gtest/gtest.h>

#include "kernels/ops/kernel.h"
#include "tests/support/error_of.h"

namespace apam::kernels {
namespace {

using support::error_of;

constexpr Relu::Problem kProblem{.size = 1000};
const std::string kKey = "relu | 1000 | forward | cpu | 1 threads";

KernelDecision decision(const std::string& provider, double milliseconds) {
  return {provider, {{{provider, milliseconds, 0.125}}, 1.5, "2026-01-31T12:00:00Z", true}};
}

/// The decisions of an Exec that chose a kernel.
KernelDecisions decided_by(Exec& exec) {
  kernel<Relu>(exec, kProblem, Relu::Pass::forward);
  return exec.decisions();
}

TEST(KernelDecisions, travel_as_text) {
  KernelDecisions decisions;
  decisions.set("a", decision("native", 2.5));
  decisions.set("b", {"reference", {}});
  decisions.set("c", {"native", {}, "9.19.0 | 67: 2=1"});
  EXPECT_EQ(KernelDecisions::from_text(decisions.to_text()), decisions);
  EXPECT_EQ(decisions.to_text().find('\n'), std::string::npos);
  EXPECT_EQ(KernelDecisions::from_text("{}"), KernelDecisions());
}

TEST(KernelDecisions, merge_replaces_older_ones) {
  KernelDecisions first, second;
  first.set("a", decision("native", 1));
  first.set("b", decision("native", 2));
  second.set("b", decision("onednn", 3));
  first.merge(second);
  EXPECT_EQ(first.size(), 2U);
  EXPECT_EQ(*first.find("a"), decision("native", 1));
  EXPECT_EQ(*first.find("b"), decision("onednn", 3));
  EXPECT_EQ(first.find("c"), nullptr);
}

TEST(KernelDecisions, reject_other_text) {
  const std::string good = R"("provider": "native", "date": "", "doubtful": false, "load": 0)";
  for (const std::string& text : {std::string(), std::string("[]"), std::string("{\"a\": "), std::string("{\"a\": 7}"),
                                  R"({"a": {)" + good + "}}", R"({"a": {)" + good + R"(, "milliseconds": {"native": -1}}})",
                                  R"({"a": {)" + good + R"(, "milliseconds": {}, "spread": {}, "plan": 7}})"}) {
    const auto message = error_of<InputError>([&] { KernelDecisions::from_text(text); });
    EXPECT_TRUE(message.starts_with("kernel decisions: ")) << text << ": " << message;
  }
}

TEST(Exec, records_the_decisions_of_auto) {
  Exec exec;
  const KernelDecisions decisions = decided_by(exec);
  ASSERT_EQ(decisions.size(), 1U);
  ASSERT_NE(decisions.find(kKey), nullptr);
  EXPECT_EQ(decisions.find(kKey)->provider, exec.report().at(0).provider);
  EXPECT_EQ(decisions.find(kKey)->measured, exec.report().at(0).measured);
}

TEST(Exec, a_demand_is_not_a_decision_of_auto) {
  Exec exec({.kernels = KernelSelection::parse("relu=reference")});
  EXPECT_TRUE(decided_by(exec).empty());
}

TEST(Exec, adopts_a_decision_without_timing) {
  KernelDecisions decisions;  // `auto` itself never takes the naive loops here, nor can it have measured an hour
  decisions.set(kKey, decision("reference", 3.6e6));
  Exec exec;
  exec.adopt(decisions);
  EXPECT_EQ(decided_by(exec), decisions);
  EXPECT_EQ(exec.report().at(0).provider, "reference");
  EXPECT_EQ(exec.report().at(0).measured, decision("reference", 3.6e6).measured);
}

TEST(Exec, adopts_nothing_for_other_problems_or_threads) {
  KernelDecisions decisions;
  decisions.set(kKey, decision("reference", 1));
  Exec exec, threads({.threads = 2});
  exec.adopt(decisions);
  threads.adopt(decisions);
  kernel<Relu>(exec, {.size = 1001}, Relu::Pass::forward);
  kernel<Relu>(threads, kProblem, Relu::Pass::forward);
  EXPECT_NE(exec.report().at(0).provider, "reference");
  EXPECT_NE(threads.report().at(0).provider, "reference");
}

TEST(Exec, a_demand_overrides_an_adopted_decision) {
  KernelDecisions decisions;
  decisions.set(kKey, decision("mkl", 1));
  Exec exec({.kernels = KernelSelection::parse("relu=reference")});
  exec.adopt(decisions);
  EXPECT_NO_THROW(decided_by(exec));
}

TEST(Exec, an_adopted_provider_that_this_build_lacks_is_an_error) {
  KernelDecisions decisions;
  decisions.set(kKey, decision("mkl", 1));
  Exec exec;
  exec.adopt(decisions);
  const auto message = error_of<KernelError>([&] { decided_by(exec); });
  EXPECT_NE(message.find("'mkl'"), std::string::npos) << message;
  EXPECT_NE(message.find("forward of 1000"), std::string::npos) << message;
  EXPECT_TRUE(exec.report().empty());
}

TEST(Exec, an_adopted_provider_that_does_not_support_the_problem_is_an_error) {
  constexpr BatchNorm::Problem kResidual{.rows = 64, .c = 8, .residual = true};
  const auto all = implementations<BatchNorm>();
  for (const auto& implementation : all) {
    if (implementation.device != DeviceKind::cpu || implementation.supports(kResidual, BatchNorm::Pass::backward)) continue;
    KernelDecisions decisions;
    const DecisionKey key{"batch_norm", kResidual.describe(), "backward", {}, 1};
    decisions.set(key.to_text(), decision(std::string(implementation.provider), 1));
    Exec exec;
    exec.adopt(decisions);
    const auto message = error_of<KernelError>([&] { kernel<BatchNorm>(exec, kResidual, BatchNorm::Pass::backward); });
    EXPECT_NE(message.find(fmt::format("'{}'", implementation.provider)), std::string::npos) << message;
    EXPECT_NE(message.find("backward of 64x8 + residual, which it does not support"), std::string::npos) << message;
    return;
  }
  GTEST_SKIP() << "every provider of this build supports every batch norm";
}

}  // namespace
}  // namespace apam::kernels
