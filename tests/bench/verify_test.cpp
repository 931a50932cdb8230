// The benchmark's verification accepts correct kernels and refuses wrong ones.
#include "bench/verify.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/ops/kernel.h"

namespace apam::bench {
namespace {

using kernels::Implementation;
using kernels::Relu;
using kernels::Write;

/// Wrong twice: forward drops small positive values, backward passes the whole gradient through.
class CarelessRelu final : public Relu::Kernel {
 public:
  void forward(Exec&, In x, Out y) override {
    const auto in = x.as<float>("x").host();
    std::transform(in.begin(), in.end(), y.as<float>("y").host().begin(),
                   [](float value) { return value > 0.5F ? value : 0.0F; });
  }
  void backward(Exec& exec, In dy, In, Out dx, Write) override { copy(exec, dy, dx); }
};

bool always(const Relu::Problem&, Relu::Pass) { return true; }
bool only_large(const Relu::Problem& problem, Relu::Pass) { return problem.size > 1'000'000; }
std::unique_ptr<Relu::Kernel> make_careless(Exec&, const Relu::Problem&, Relu::Pass) {
  return std::make_unique<CarelessRelu>();
}

TEST(VerifyTest, AcceptsEveryReluOfThisBuild) {
  Exec exec;
  int checked = 0;
  for (const auto& implementation : kernels::implementations<Relu>()) {
    if (implementation.device != DeviceKind::cpu) continue;
    for (const auto pass : {Relu::Pass::forward, Relu::Pass::backward}) {
      if (!implementation.supports({1000}, pass)) continue;  // oneDNN's forward pass turns NaN into 0
      EXPECT_EQ(Verifier<Relu>(exec, {1000}).objection(implementation, pass), "") << implementation.provider;
      ++checked;
    }
  }
  EXPECT_GE(checked, 2);
}

TEST(VerifyTest, ReportsWrongResults) {
  Exec exec;
  const Implementation<Relu> careless{"careless", DeviceKind::cpu, always, make_careless};
  EXPECT_NE(Verifier<Relu>(exec, {1000}).objection(careless, Relu::Pass::forward).find("is wrong: y: "), std::string::npos);
  EXPECT_NE(Verifier<Relu>(exec, {1000}).objection(careless, Relu::Pass::backward).find("is wrong: dx: "), std::string::npos);
}

TEST(VerifyTest, RefusesUnsupportedProblems) {
  Exec exec;
  const Implementation<Relu> picky{"picky", DeviceKind::cpu, only_large, make_careless};
  EXPECT_NE(Verifier<Relu>(exec, {2'000'000}).objection(picky, Relu::Pass::forward).find("cannot be verified"),
            std::string::npos);
}

TEST(VerifyTest, ShrinksProblems) {
  const kernels::Relu::Problem elements{10'000'000};
  EXPECT_LE(small(elements).size, 100'000);
  const kernels::Conv2d::Problem images{.n = 80, .h = 32, .w = 32, .c = 64, .k = 64, .r = 3, .s = 3, .padding = 1};
  kernels::Conv2d::Problem two = images;
  two.n = 2;
  EXPECT_EQ(small(images), two);
  const kernels::BatchNorm::Problem rows{.rows = 81920, .c = 64};
  EXPECT_EQ(small(rows).rows, 2048);
  EXPECT_EQ(small(rows).c, 64);
}

}  // namespace
}  // namespace apam::bench
