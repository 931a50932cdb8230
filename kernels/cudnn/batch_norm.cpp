// Batch norm with cuDNN.
//
// cuDNN fuses the residual and the ReLU into the forward passes. Backward has one kernel for the ReLU's mask, whose result is
// the residual's gradient, and one for the rest: cuDNN fuses the two only for a mask that the forward pass stores, which the
// contract does not have. Sums into old values are computed in float32 scratch memory and added by a kernel of our own, rounded
// once. In bfloat16, g and x are widened for that: cuDNN also offers plans with bfloat16 operands and a float32 dx, but their
// results are wrong (seen with 9.19 on an H200).
#include "kernels/cudnn/call.h"
#include "kernels/cudnn/converted.h"
#include "kernels/cudnn/finish.h"
#include "kernels/cudnn/make.h"

namespace apam::kernels::cudnn {
namespace {

using namespace batch_norm;
using Pass = BatchNorm::Pass;

/// Runs a forward pass; a residual is bound only if the problem has one.
void run_forward(Exec& exec, const BatchNorm::Problem& p, Calls& calls, std::vector<Binding> bindings, In residual) {
  if (p.residual) bindings.push_back({kResidual, address(residual, p.type, "batch_norm: residual")});
  calls.run(exec, 0, bindings);
}

class ForwardTraining final : public BatchNorm::Kernel {
 public:
  ForwardTraining(Exec& exec, const BatchNorm::Problem& p)
      : problem_(p), calls_(calls<BatchNorm>(exec, p, Pass::forward_training)) {
    const auto channels = static_cast<std::size_t>(p.c);
    zeros_ = Buffer(exec.device(), channels * sizeof(float));
    zero(exec, zeros_.as<float>());
    exec.reserve_operand_copies(channels * sizeof(float));
  }

  void forward_training(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta, Out y,
                        const BatchNorm::BatchStatistics& out) override {
    static constexpr float kAll = 1;  // the new variance is that of the batch
    run_forward(exec, problem_, calls_,
                {{kX, address(x, problem_.type, "batch_norm: x")},
                 {kGamma, gamma.data()},
                 {kBeta, beta.data()},
                 {kEps, &problem_.eps},
                 {kFactor, &kAll},
                 {kOldMean, zeros_.data()},
                 {kOldVariance, zeros_.data()},
                 {kY, address(y, problem_.type, "batch_norm: y")},
                 {kMean, out.mean.data()},
                 {kInvStd, out.inv_std.data()},
                 {kNewMean, exec.operand_copies(zeros_.size_bytes())},
                 {kVariance, out.variance.data()}},
                residual);
    show_overflow(exec, {out.variance, gamma, beta}, out.inv_std, y);
  }

 private:
  BatchNorm::Problem problem_;
  Calls calls_;
  Buffer zeros_;  // (C)
};

class ForwardInference final : public BatchNorm::Kernel {
 public:
  ForwardInference(Exec& exec, const BatchNorm::Problem& p)
      : problem_(p), calls_(calls<BatchNorm>(exec, p, Pass::forward_inference)) {}

  void forward_inference(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta,
                         ConstSpan<float> running_mean, ConstSpan<float> running_variance, Out y) override {
    static constexpr float kNothing = 0;
    run_forward(exec, problem_, calls_,
                {{kX, address(x, problem_.type, "batch_norm: x")},
                 {kGamma, gamma.data()},
                 {kBeta, beta.data()},
                 {kMean, running_mean.data()},
                 {kVariance, running_variance.data()},
                 {kEps, &problem_.eps},
                 {kZero, &kNothing},
                 {kY, address(y, problem_.type, "batch_norm: y")}},
                residual);
  }

 private:
  BatchNorm::Problem problem_;
  Calls calls_;
};

class Backward final : public BatchNorm::Kernel {
 public:
  Backward(Exec& exec, const BatchNorm::Problem& p)
      : problem_(p),
        calls_(calls<BatchNorm>(exec, p, Pass::backward)),
        g_(copies_.add<std::byte>(static_cast<std::int64_t>(p.size() * size_of(p.type)))),
        parameters_(copies_.add<float>(std::int64_t{2} * p.c)),
        bytes_(copies_.bytes()),
        dx_(copies_.add<float>(static_cast<std::int64_t>(p.size()))) {
    exec.reserve_operand_copies(bytes_);
    if (p.type == DType::float32) return;
    wide_g_.emplace(exec, p.size(), p.type, copies_);
    wide_x_.emplace(exec, p.size(), p.type, copies_);
  }

  void backward(Exec& exec, In dy, const BatchNorm::Saved& saved, ConstSpan<float> gamma,
                const BatchNorm::Gradients& out) override {
    const bool add_x = out.write_x == Write::add, add_parameters = out.write_parameters == Write::add;
    const bool widen = add_x && wide_g_;
    std::byte* const copies = exec.operand_copies(add_x ? copies_.bytes() : bytes_);
    const In g = rectified(exec, dy, saved, out, copies);
    const void* const xs = address(saved.x, problem_.type, "batch_norm: x");
    const Out dx = add_x ? Out(Span<float>(dx_.in(copies), problem_.size(), exec.device())) : out.dx;
    const auto channels = static_cast<std::size_t>(problem_.c);
    const Span<float> sums(parameters_.in(copies), 2 * channels, exec.device());
    const Span<float> dgamma = add_parameters ? sums.subspan(0, channels) : out.dgamma;
    const Span<float> dbeta = add_parameters ? sums.subspan(channels, channels) : out.dbeta;
    calls_.run(exec, gradient_step(widen),
               {{kG, widen ? wide_g_->of(exec, g, copies) : g.bytes()},
                {kX, widen ? wide_x_->of(exec, saved.x, copies) : xs},
                {kMean, saved.mean.data()},
                {kInvStd, saved.inv_std.data()},
                {kGamma, gamma.data()},
                {kDx, dx.bytes()},
                {kDgamma, dgamma.data()},
                {kDbeta, dbeta.data()}});
    if (add_x) add_to(exec, dx, out.dx);
    if (add_parameters) {
      add_to(exec, dgamma, out.dgamma);
      add_to(exec, dbeta, out.dbeta);
    }
  }

 private:
  /// The step in steps(): after the mask, the gradient of operands as they are, or widened.
  std::size_t gradient_step(bool widened) const { return (problem_.relu ? 1 : 0) + (widened ? 1 : 0); }

  /// g, which is also written to d_residual. It never overlaps dx.
  In rectified(Exec& exec, In dy, const BatchNorm::Saved& saved, const BatchNorm::Gradients& out, std::byte* copies) {
    const void* const dys = address(dy, problem_.type, "batch_norm: dy");
    const void* const dxs = address(out.dx, problem_.type, "batch_norm: dx");
    const Out scratch(g_.in(copies), problem_.size(), problem_.type, exec.device());
    const bool write_residual = problem_.residual && out.write_residual == Write::overwrite;
    In g = dy;
    if (problem_.relu) {
      const Out target = write_residual ? out.d_residual : scratch;
      calls_.run(exec, 0, {{kDy, dys}, {kY, address(saved.y, problem_.type, "batch_norm: y")}, {kG, target.bytes()}});
      g = target;
    } else {
      if (write_residual) copy(exec, dy, out.d_residual);
      if (dys == dxs) {
        copy(exec, dy, scratch);
        g = scratch;
      }
    }
    if (problem_.residual && !write_residual) add_to(exec, g, out.d_residual);
    return g;
  }

  BatchNorm::Problem problem_;
  Calls calls_;
  WorkspacePlan copies_{kAlignment};
  Region<std::byte> g_;                              // (rows, C), in the type of the problem
  Region<float> parameters_;                         // (2, C)
  std::size_t bytes_;                                // of these; what follows is only for sums into old values of dx
  Region<float> dx_;                                 // (rows, C)
  std::optional<Converted<float>> wide_g_, wide_x_;  // only in bfloat16
};

}  // namespace

std::unique_ptr<BatchNorm::Kernel> make(Exec& exec, const BatchNorm::Problem& problem, Pass pass) {
  return make_by_pass<BatchNorm, ForwardTraining, ForwardInference, Backward>(pass, exec, problem);
}

}  // namespace apam::kernels::cudnn
