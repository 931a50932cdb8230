// The naive loops in float as kernels: the provider "reference", which can do everything and is chosen last.
#include <array>

#include "kernels/providers.h"
#include "kernels/reference/add.h"
#include "kernels/reference/avg_pool.h"
#include "kernels/reference/batch_norm.h"
#include "kernels/reference/conv2d.h"
#include "kernels/reference/linear.h"
#include "kernels/reference/optimizer_step.h"
#include "kernels/reference/relu.h"
#include "kernels/reference/scale.h"
#include "kernels/reference/softmax_cross_entropy.h"

namespace apam::kernels::reference {
namespace {

/// A kernel of this provider: the contract of `Op` and a problem.
template <class Op>
class Naive : public Op::Kernel {
 public:
  explicit Naive(const typename Op::Problem& problem) : problem_(problem) {}

 protected:
  const typename Op::Problem problem_;
};

class NaiveConv2dForward final : public Naive<Conv2d> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, In w, Out y) override { conv2d_forward(problem_, x.data(), w.data(), y.data()); }
};

class NaiveConv2dBackwardInput final : public Naive<Conv2d> {
 public:
  using Naive::Naive;
  void backward_input(Exec&, In dy, In w, Out dx, Write write) override {
    conv2d_backward_input(problem_, dy.data(), w.data(), dx.data(), write);
  }
};

class NaiveConv2dBackwardWeight final : public Naive<Conv2d> {
 public:
  using Naive::Naive;
  void backward_weight(Exec&, In x, In dy, Out dw, Write write) override {
    conv2d_backward_weight(problem_, x.data(), dy.data(), dw.data(), write);
  }
};

class NaiveBatchNormForwardTraining final : public Naive<BatchNorm> {
 public:
  using Naive::Naive;
  void forward_training(Exec&, In x, In residual, In gamma, In beta, Out y, const BatchNorm::BatchStatistics& out) override {
    batch_norm_forward_training<float>(problem_, {x.data(), residual.data(), gamma.data(), beta.data()}, y.data(),
                                       {out.mean.data(), out.variance.data(), out.inv_std.data()});
  }
};

class NaiveBatchNormForwardInference final : public Naive<BatchNorm> {
 public:
  using Naive::Naive;
  void forward_inference(Exec&, In x, In residual, In gamma, In beta, In running_mean, In running_variance, Out y) override {
    batch_norm_forward_inference<float>(problem_, {x.data(), residual.data(), gamma.data(), beta.data()}, running_mean.data(),
                                        running_variance.data(), y.data());
  }
};

class NaiveBatchNormBackward final : public Naive<BatchNorm> {
 public:
  using Naive::Naive;
  void backward(Exec&, In dy, const BatchNorm::Saved& saved, In gamma, const BatchNorm::Gradients& out) override {
    batch_norm_backward<float>(problem_, dy.data(), {saved.x.data(), saved.y.data(), saved.mean.data(), saved.inv_std.data()},
                               gamma.data(),
                               {out.dx.data(), out.d_residual.data(), out.dgamma.data(), out.dbeta.data(), out.write_x,
                                out.write_residual, out.write_parameters});
  }
};

class NaiveReluForward final : public Naive<Relu> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, Out y) override { relu_forward(problem_, x.data(), y.data()); }
};

class NaiveReluBackward final : public Naive<Relu> {
 public:
  using Naive::Naive;
  void backward(Exec&, In dy, In y, Out dx, Write write) override {
    relu_backward(problem_, dy.data(), y.data(), dx.data(), write);
  }
};

class NaiveAdd final : public Naive<Add> {
 public:
  using Naive::Naive;
  void forward(Exec&, In a, In b, Out y) override { add_forward(problem_, a.data(), b.data(), y.data()); }
};

class NaiveScale final : public Naive<Scale> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, Out y) override { scale_forward(problem_, x.data(), y.data()); }
};

class NaiveAvgPoolForward final : public Naive<AvgPool> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, Out y) override { avg_pool_forward(problem_, x.data(), y.data()); }
};

class NaiveAvgPoolBackward final : public Naive<AvgPool> {
 public:
  using Naive::Naive;
  void backward(Exec&, In dy, Out dx, Write write) override { avg_pool_backward(problem_, dy.data(), dx.data(), write); }
};

class NaiveLinearForward final : public Naive<Linear> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, In w, In b, Out y) override { linear_forward(problem_, x.data(), w.data(), b.data(), y.data()); }
};

class NaiveLinearBackwardInput final : public Naive<Linear> {
 public:
  using Naive::Naive;
  void backward_input(Exec&, In dy, In w, Out dx, Write write) override {
    linear_backward_input(problem_, dy.data(), w.data(), dx.data(), write);
  }
};

class NaiveLinearBackwardWeight final : public Naive<Linear> {
 public:
  using Naive::Naive;
  void backward_weight(Exec&, In x, In dy, Out dw, Out db, Write write) override {
    linear_backward_weight(problem_, x.data(), dy.data(), dw.data(), db.data(), write);
  }
};

class NaiveSoftmaxCrossEntropyForward final : public Naive<SoftmaxCrossEntropy> {
 public:
  using Naive::Naive;
  void forward(Exec&, In logits, Labels labels, Out probabilities, Out sums) override {
    softmax_cross_entropy_forward(problem_, logits.data(), labels.data(), probabilities.data(), sums.data());
  }
};

class NaiveSoftmaxCrossEntropyBackward final : public Naive<SoftmaxCrossEntropy> {
 public:
  using Naive::Naive;
  void backward(Exec&, In probabilities, Labels labels, float scale, Out dlogits) override {
    softmax_cross_entropy_backward(problem_, probabilities.data(), labels.data(), scale, dlogits.data());
  }
};

class NaiveOptimizerStep final : public Naive<OptimizerStep> {
 public:
  using Naive::Naive;
  void update(Exec&, const OptimizerStep::Scalars& scalars, In g, Out w, const OptimizerStep::Moments& moments) override {
    optimizer_step<float>(problem_, scalars, g.data(), w.data(), {moments.m.data(), moments.v.data(), moments.vh.data()});
  }
};

class NaiveRunningAverage final : public Naive<RunningAverage> {
 public:
  using Naive::Naive;
  void update(Exec&, float momentum, In batch, Out running) override {
    running_average(problem_, momentum, batch.data(), running.data());
  }
};

/// The one line of each table; a class of kernels per pass.
template <class Op, class... ByPass>
std::span<const Implementation<Op>> only() {
  static const std::array<Implementation<Op>, 1> table{{{
      "reference",
      DeviceKind::cpu,
      [](const typename Op::Problem&, typename Op::Pass) { return true; },
      [](Exec&, const typename Op::Problem& problem, typename Op::Pass pass) {
        return make_by_pass<Op, ByPass...>(pass, problem);
      },
  }}};
  return table;
}

}  // namespace

Tables tables() {
  return {only<Conv2d, NaiveConv2dForward, NaiveConv2dBackwardInput, NaiveConv2dBackwardWeight>(),
          only<BatchNorm, NaiveBatchNormForwardTraining, NaiveBatchNormForwardInference, NaiveBatchNormBackward>(),
          only<Relu, NaiveReluForward, NaiveReluBackward>(),
          only<Add, NaiveAdd>(),
          only<Scale, NaiveScale>(),
          only<AvgPool, NaiveAvgPoolForward, NaiveAvgPoolBackward>(),
          only<Linear, NaiveLinearForward, NaiveLinearBackwardInput, NaiveLinearBackwardWeight>(),
          only<SoftmaxCrossEntropy, NaiveSoftmaxCrossEntropyForward, NaiveSoftmaxCrossEntropyBackward>(),
          only<OptimizerStep, NaiveOptimizerStep>(),
          only<RunningAverage, NaiveRunningAverage>()};
}

}  // namespace apam::kernels::reference
