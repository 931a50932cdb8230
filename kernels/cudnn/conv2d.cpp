// Convolution with cuDNN. Weights are (K, R, S, C) float32; in bfloat16 their copy is used, or, without one, they are rounded
// in every call.
//
// Weight gradients of bfloat16 operands are float32. Where cuDNN has that only fused with an addition, the old values (or
// zeros) are copied to scratch memory, because a plan's operands must not overlap. Elsewhere x and dy are widened to float32
// and multiplied on tensor cores in TF32, which holds bfloat16 exactly.
#include "kernels/cudnn/call.h"
#include "kernels/cudnn/make.h"
#include "kernels/ops/kernel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cudnn {
namespace {

using Pass = Conv2d::Pass;

/// A copy of an operand in another type, in the second scratch area of the Exec.
template <class To>
class Converted {
 public:
  Converted(Exec& exec, std::size_t size, DType from, WorkspacePlan& copies)
      : size_(size),
        kernel_(&kernel<Convert>(exec, {static_cast<std::int64_t>(size), from, dtype_of<To>}, Convert::Pass::forward).get()),
        copy_(copies.add<To>(static_cast<std::int64_t>(size))) {}

  const void* of(Exec& exec, In operand, std::byte* copies) const {
    const Out copy = Span<To>(copy_.in(copies), size_, exec.device());
    kernel_->forward(exec, operand, copy);
    return copy.bytes();
  }

 private:
  std::size_t size_;
  Convert::Kernel* kernel_;  // lives as long as the Exec
  Region<To> copy_;
};

/// Weights in the type of activations.
class WeightsInType {
 public:
  WeightsInType(Exec& exec, const Conv2d::Problem& p) {
    if (p.type == DType::float32) return;
    rounded_.emplace(exec, p.w_size(), DType::float32, copies_);
    exec.reserve_operand_copies(copies_.bytes());
  }
  const void* of(Exec& exec, const Weights& w) const {
    if (!rounded_) return w.data();
    if (!w.rounded.empty()) return w.rounded.data();
    return rounded_->of(exec, w.values, exec.operand_copies(copies_.bytes()));
  }

 private:
  WorkspacePlan copies_{kAlignment};
  std::optional<Converted<BFloat16>> rounded_;
};

class Forward final : public Conv2d::Kernel {
 public:
  Forward(Exec& exec, const Conv2d::Problem& p)
      : problem_(p), weights_(exec, p), calls_(calls<Conv2d>(exec, p, Pass::forward)) {}

  void forward(Exec& exec, In x, const Weights& w, Out y) override {
    const void *xs = address(x, problem_.type, "conv2d: x"), *ys = address(y, problem_.type, "conv2d: y");
    calls_.run(exec, 0, {{conv2d::kX, xs}, {conv2d::kW, weights_.of(exec, w)}, {conv2d::kY, ys}});
  }

 private:
  Conv2d::Problem problem_;
  WeightsInType weights_;
  Calls calls_;
};

class BackwardInput final : public Conv2d::Kernel {
 public:
  BackwardInput(Exec& exec, const Conv2d::Problem& p)
      : problem_(p), weights_(exec, p), calls_(calls<Conv2d>(exec, p, Pass::backward_input)) {}

  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    const void *dys = address(dy, problem_.type, "conv2d: dy"), *dxs = address(dx, problem_.type, "conv2d: dx");
    calls_.run(exec, write == Write::add ? 1 : 0, {{conv2d::kX, dxs}, {conv2d::kW, weights_.of(exec, w)}, {conv2d::kY, dys}});
  }

 private:
  Conv2d::Problem problem_;
  WeightsInType weights_;
  Calls calls_;
};

/// Of float32 operands, or of bfloat16 operands that are widened first.
class BackwardWeight final : public Conv2d::Kernel {
 public:
  BackwardWeight(Exec& exec, const Conv2d::Problem& p) : problem_(p), calls_(calls<Conv2d>(exec, p, Pass::backward_weight)) {
    if (p.type == DType::float32) return;
    x_.emplace(exec, p.x_size(), p.type, copies_);
    dy_.emplace(exec, p.y_size(), p.type, copies_);
    exec.reserve_operand_copies(copies_.bytes());
  }

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    const void *xs = address(x, problem_.type, "conv2d: x"), *dys = address(dy, problem_.type, "conv2d: dy");
    if (x_) {
      std::byte* const copies = exec.operand_copies(copies_.bytes());
      xs = x_->of(exec, x, copies);
      dys = dy_->of(exec, dy, copies);
    }
    calls_.run(exec, write == Write::add ? 1 : 0, {{conv2d::kX, xs}, {conv2d::kW, dw.data()}, {conv2d::kY, dys}});
  }

 private:
  Conv2d::Problem problem_;
  WorkspacePlan copies_{kAlignment};
  std::optional<Converted<float>> x_, dy_;
  Calls calls_;
};

class FusedBackwardWeight final : public Conv2d::Kernel {
 public:
  FusedBackwardWeight(Exec& exec, const Conv2d::Problem& p)
      : problem_(p), calls_(calls<Conv2d>(exec, p, Pass::backward_weight)) {
    exec.reserve_operand_copies(p.w_size() * sizeof(float));
  }

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    const void *xs = address(x, problem_.type, "conv2d: x"), *dys = address(dy, problem_.type, "conv2d: dy");
    const Span<float> old(reinterpret_cast<float*>(exec.operand_copies(dw.size_bytes())), dw.size(), exec.device());
    if (write == Write::add) {
      copy(exec, dw, old);
    } else {
      zero(exec, old);
    }
    calls_.run(exec, 0, {{conv2d::kX, xs}, {conv2d::kY, dys}, {conv2d::kOld, old.data()}, {conv2d::kW, dw.data()}});
  }

 private:
  Conv2d::Problem problem_;
  Calls calls_;
};

}  // namespace

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem, Pass pass) {
  if (weight_gradient_is_fused(problem)) {
    return make_by_pass<Conv2d, Forward, BackwardInput, FusedBackwardWeight>(pass, exec, problem);
  }
  return make_by_pass<Conv2d, Forward, BackwardInput, BackwardWeight>(pass, exec, problem);
}

}  // namespace apam::kernels::cudnn
