// A kernel is made for one pass of a problem: it rejects the others, and reserves workspace for that pass only.
#include <gtest/gtest.h>

#include "tests/cases/cases.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_check.h"

namespace apam::kernels {
namespace {

using support::error_of;

TEST(OnePass, a_kernel_rejects_every_other_pass) {
  int refused = 0;
  for_each_operation([&]<class Op>() {
    const auto problem = cases::edge_cases<Op>().front().problem;
    Exec exec({.threads = 2});
    support::KernelCheck<Op> samples(exec, problem);
    for (const auto& implementation : implementations<Op>()) {
      if (implementation.device != DeviceKind::cpu) continue;
      for (std::size_t made = 0; made < Op::pass_names.size(); ++made) {
        const auto pass = static_cast<typename Op::Pass>(made);
        if (!implementation.supports(problem, pass)) continue;
        const auto kernel = implementation.make(exec, problem, pass);
        for (std::size_t asked = 0; asked < Op::pass_names.size(); ++asked) {
          const auto other = static_cast<typename Op::Pass>(asked);
          if (asked == made) {
            EXPECT_NO_THROW(samples.run(exec, *kernel, other));
            continue;
          }
          const auto message = error_of<KernelError>([&] { samples.run(exec, *kernel, other); });
          EXPECT_EQ(message,
                    fmt::format("{}: the kernel was made for another pass, not for {}", Op::name, Op::pass_names[asked]))
              << implementation.provider;
          ++refused;
        }
      }
    }
  });
  EXPECT_GE(refused, 3 * 2 * 3 + 3 * 2);  // by the naive loops: three operations of three passes, three of two
}

/// Bytes of workspace that a kernel of one pass reserves.
template <class Op>
std::size_t workspace(const Implementation<Op>& implementation, const typename Op::Problem& problem, typename Op::Pass pass) {
  Exec exec;
  const auto kernel = implementation.make(exec, problem, pass);
  return exec.workspace_bytes();
}

const auto& native(const auto implementations) {
  for (const auto& implementation : implementations) {
    if (implementation.provider == "native" && implementation.device == DeviceKind::cpu) return implementation;
  }
  return implementations.back();
}

TEST(OnePass, workspace_is_for_that_pass_only) {
  const auto& conv2d = native(implementations<Conv2d>());
  constexpr Conv2d::Problem kFewOutputs{.n = 1, .h = 32, .w = 32, .c = 256, .k = 1, .r = 1, .s = 1};
  EXPECT_NE(workspace(conv2d, kFewOutputs, Conv2d::Pass::forward),
            workspace(conv2d, kFewOutputs, Conv2d::Pass::backward_input));
  const auto& batch_norm = native(implementations<BatchNorm>());
  constexpr BatchNorm::Problem kNormalised{.rows = 10'000, .c = 64, .relu = true};
  const auto inference = workspace(batch_norm, kNormalised, BatchNorm::Pass::forward_inference);
  const auto training = workspace(batch_norm, kNormalised, BatchNorm::Pass::forward_training);
  const auto backward = workspace(batch_norm, kNormalised, BatchNorm::Pass::backward);
  EXPECT_LT(inference, training);
  EXPECT_LT(training, backward);
  const auto& loss = native(implementations<SoftmaxCrossEntropy>());
  constexpr SoftmaxCrossEntropy::Problem kLoss{.n = 100, .classes = 10};
  EXPECT_GT(workspace(loss, kLoss, SoftmaxCrossEntropy::Pass::forward), 0U);
  EXPECT_EQ(workspace(loss, kLoss, SoftmaxCrossEntropy::Pass::backward), 0U);
}

}  // namespace
}  // namespace apam::kernels
