#include "kernels/reference/batch_norm.h"

#include "kernels/reference/batch_norm_sample.h"
#include "kernels/reference/naive.h"

namespace apam::kernels {
namespace reference {

class BatchNormForwardTraining final : public Naive<BatchNorm> {
 public:
  using Naive::Naive;
  void forward_training(Exec&, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta, Out y,
                        const BatchNorm::BatchStatistics& out) override {
    batch_norm_forward_training<float>(
        problem_,
        {FloatsIn(x, problem_.type, "batch_norm: x").data(), FloatsIn(residual, problem_.type, "batch_norm: residual").data(),
         gamma.data(), beta.data()},
        FloatsOut(y, problem_.type, "batch_norm: y").data(), {out.mean.data(), out.variance.data(), out.inv_std.data()});
  }
};

class BatchNormForwardInference final : public Naive<BatchNorm> {
 public:
  using Naive::Naive;
  void forward_inference(Exec&, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta, ConstSpan<float> running_mean,
                         ConstSpan<float> running_variance, Out y) override {
    batch_norm_forward_inference<float>(
        problem_,
        {FloatsIn(x, problem_.type, "batch_norm: x").data(), FloatsIn(residual, problem_.type, "batch_norm: residual").data(),
         gamma.data(), beta.data()},
        running_mean.data(), running_variance.data(), FloatsOut(y, problem_.type, "batch_norm: y").data());
  }
};

class BatchNormBackward final : public Naive<BatchNorm> {
 public:
  using Naive::Naive;
  void backward(Exec&, In dy, const BatchNorm::Saved& saved, ConstSpan<float> gamma, const BatchNorm::Gradients& out) override {
    batch_norm_backward<float>(
        problem_, FloatsIn(dy, problem_.type, "batch_norm: dy").data(),
        {FloatsIn(saved.x, problem_.type, "batch_norm: x").data(), FloatsIn(saved.y, problem_.type, "batch_norm: y").data(),
         saved.mean.data(), saved.inv_std.data()},
        gamma.data(),
        {FloatsOut(out.dx, problem_.type, "batch_norm: dx").data(),
         FloatsOut(out.d_residual, problem_.type, "batch_norm: d_residual").data(), out.dgamma.data(), out.dbeta.data(),
         out.write_x, out.write_residual, out.write_parameters});
  }
};

template <>
struct KernelsOf<BatchNorm> : ByPass<BatchNormForwardTraining, BatchNormForwardInference, BatchNormBackward> {};
template std::unique_ptr<BatchNorm::Kernel> make<BatchNorm>(const BatchNorm::Problem&, BatchNorm::Pass);

}  // namespace reference

template class SampleInputs<BatchNorm>;

}  // namespace apam::kernels
