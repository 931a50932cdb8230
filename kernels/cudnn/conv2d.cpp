// Convolution with cuDNN. Weights are (K, R, S, C) float32; in bfloat16 their copy is used, or, without one, they are rounded
// in every call.
//
// Weight gradients of bfloat16 operands are float32. Where cuDNN has that only fused with an addition, the old values (or
// zeros) are copied to scratch memory, because a plan's operands must not overlap. Elsewhere x and dy are widened to float32
// and multiplied on tensor cores in TF32, which holds bfloat16 exactly.
//
// Input gradients that are added to old values in bfloat16 must be rounded once. Where no engine does that (channels that are
// not a multiple of 8, and others), dy and the weights are widened, and a kernel of our own adds the float32 result.
#include "kernels/cudnn/call.h"
#include "kernels/cudnn/converted.h"
#include "kernels/cudnn/finish.h"
#include "kernels/cudnn/make.h"

namespace apam::kernels::cudnn {
namespace {

using Pass = Conv2d::Pass;

/// Weights in the type of activations.
class WeightsInType {
 public:
  WeightsInType(Exec& exec, const Conv2d::Problem& p, WorkspacePlan& copies) {
    if (p.type != DType::float32) rounded_.emplace(exec, p.w_size(), DType::float32, copies);
  }
  const void* of(Exec& exec, const Weights& w, std::byte* copies) const {
    if (!rounded_) return w.data();
    if (!w.rounded.empty()) return w.rounded.data();
    return rounded_->of(exec, w.values, copies);
  }

 private:
  std::optional<Converted<BFloat16>> rounded_;
};

class Forward final : public Conv2d::Kernel {
 public:
  Forward(Exec& exec, const Conv2d::Problem& p)
      : problem_(p), weights_(exec, p, copies_), calls_(calls<Conv2d>(exec, p, Pass::forward)) {
    exec.reserve_operand_copies(copies_.bytes());
  }

  void forward(Exec& exec, In x, const Weights& w, Out y) override {
    const void *xs = address(x, problem_.type, "conv2d: x"), *ys = address(y, problem_.type, "conv2d: y");
    const void* const ws = weights_.of(exec, w, exec.operand_copies(copies_.bytes()));
    calls_.run(exec, 0, {{conv2d::kX, xs}, {conv2d::kW, ws}, {conv2d::kY, ys}});
  }

 private:
  Conv2d::Problem problem_;
  WorkspacePlan copies_{kAlignment};
  WeightsInType weights_;
  Calls calls_;
};

class BackwardInput final : public Conv2d::Kernel {
 public:
  BackwardInput(Exec& exec, const Conv2d::Problem& p)
      : problem_(p), weights_(exec, p, copies_), calls_(calls<Conv2d>(exec, p, Pass::backward_input)) {
    if (!calls_.has(kAdd)) {
      wide_dy_.emplace(exec, p.y_size(), p.type, copies_);
      wide_w_.emplace(exec, p.w_size(), p.type, copies_);
      dx_ = copies_.add<float>(static_cast<std::int64_t>(p.x_size()));
      calls_.prepare(exec, kWidened);
    }
    exec.reserve_operand_copies(copies_.bytes());
  }

  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    const void *dys = address(dy, problem_.type, "conv2d: dy"), *dxs = address(dx, problem_.type, "conv2d: dx");
    std::byte* const copies = exec.operand_copies(copies_.bytes());
    const void* const ws = weights_.of(exec, w, copies);
    if (write == Write::add && wide_dy_) return add_widened(exec, dy, ws, dx, copies);
    calls_.run(exec, write == Write::add ? kAdd : kOverwrite, {{conv2d::kX, dxs}, {conv2d::kW, ws}, {conv2d::kY, dys}});
  }

 private:
  enum StepIndex : std::size_t { kOverwrite, kAdd, kWidened };

  void add_widened(Exec& exec, In dy, const void* ws, Out dx, std::byte* copies) {
    const In w(static_cast<const std::byte*>(ws), problem_.w_size(), problem_.type, exec.device());
    const Out product(Span<float>(dx_.in(copies), problem_.x_size(), exec.device()));
    calls_.run(exec, kWidened,
               {{conv2d::kX, product.bytes()},
                {conv2d::kW, wide_w_->of(exec, w, copies)},
                {conv2d::kY, wide_dy_->of(exec, dy, copies)}});
    add_to(exec, product, dx);
  }

  Conv2d::Problem problem_;
  WorkspacePlan copies_{kAlignment};
  WeightsInType weights_;
  Calls calls_;
  std::optional<Converted<float>> wide_dy_, wide_w_;  // only if no engine adds and rounds once
  Region<float> dx_;                                  // as dx
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
