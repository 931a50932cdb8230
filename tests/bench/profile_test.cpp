// Attribution of time to kernels.
#include "bench/profile.h"

#include <gtest/gtest.h>

#include <thread>

#include "kernels/ops/kernel.h"
#include "tests/support/throws.h"

namespace apam::bench {
namespace {

using kernels::Add;
using kernels::Relu;

void pass_time(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

/// Forward passes of two different ReLUs and one addition, with sleeps in place of the work.
void step(Exec& exec) {
  pass_time(3);
  kernels::kernel<Relu>(exec, {1000}, Relu::Pass::forward);
  pass_time(20);
  kernels::kernel<Relu>(exec, {2000}, Relu::Pass::forward);
  pass_time(40);
  kernels::kernel<Relu>(exec, {2000}, Relu::Pass::forward);
  pass_time(40);
  kernels::kernel<Add>(exec, {1000}, Add::Pass::forward);
  pass_time(10);
}

TEST(Profile, attributes_time_until_the_next_request_to_a_kernel) {
  Exec exec({.kernels = KernelSelection::parse("reference")});
  step(exec);  // chooses and makes the kernels
  Profile profile(exec);
  for (int i = 0; i < 3; ++i) {
    profile.begin_step();
    step(exec);
    profile.end_step();
    pass_time(30);  // between steps: not counted
  }
  const auto breakdown = profile.breakdown();
  ASSERT_EQ(breakdown.size(), 3U);
  const auto& relu = breakdown[0];
  EXPECT_EQ(relu["op"], "relu");
  EXPECT_EQ(relu["pass"], "forward");
  EXPECT_EQ(relu["calls"], 3);
  EXPECT_EQ(breakdown[1]["op"], "add");
  EXPECT_EQ(breakdown[2]["op"], "other");
  // Sleeps never end early.
  EXPECT_GE(relu["milliseconds"].get<double>(), 100);
  EXPECT_GE(breakdown[1]["milliseconds"].get<double>(), 10);
  EXPECT_GE(breakdown[2]["milliseconds"].get<double>(), 3);

  ASSERT_EQ(relu["problems"].size(), 2U);
  EXPECT_EQ(relu["problems"][0]["problem"], "2000");
  EXPECT_EQ(relu["problems"][0]["calls"], 2);
  EXPECT_EQ(relu["problems"][0]["provider"], "reference");
  EXPECT_GE(relu["problems"][0]["milliseconds"].get<double>(), 80);
  double shares = 0;
  for (const auto& group : breakdown) shares += group["share"].get<double>();
  EXPECT_NEAR(shares, 1, 1e-12);
  EXPECT_NE(in_words(breakdown).find("relu.forward"), std::string::npos);
}

TEST(ReferenceKernels, are_timed_only_if_selected) {
  const std::vector<KernelReport> report{{"relu", "2000", "forward", "native", {}}, {"add", "3x4", "forward", "reference", {}}};
  const auto check = [&](std::string_view selection) { require_no_reference(report, KernelSelection::parse(selection)); };
  EXPECT_NO_THROW(check("reference"));
  EXPECT_NO_THROW(check("add=reference"));
  for (const auto selection : {"auto", "native", "relu=reference", "add.backward=reference"}) {
    EXPECT_TRUE(support::throws<KernelError>({"add", "forward", "3x4", "--kernels"}, [&] { check(selection); })) << selection;
  }
}

TEST(Profile, stops_listening_when_destroyed) {
  Exec exec({.kernels = KernelSelection::parse("reference")});
  { const Profile profile(exec); }
  EXPECT_FALSE(exec.request_listener());
  EXPECT_NO_THROW(step(exec));
}

}  // namespace
}  // namespace apam::bench
