// What a kernel does when asked for a pass that it was not made for: it throws.
#include "kernels/ops/all.h"

namespace apam::kernels {
namespace {

template <class Op>
[[noreturn]] void refuse(typename Op::Pass pass) {
  fail<KernelError>("{}: the kernel was made for another pass, and asked for {}", Op::name,
                    Op::pass_names[static_cast<std::size_t>(pass)]);
}

}  // namespace

void Conv2d::Kernel::forward(Exec&, In, In, Out) { refuse<Conv2d>(Pass::forward); }
void Conv2d::Kernel::backward_input(Exec&, In, In, Out, Write) { refuse<Conv2d>(Pass::backward_input); }
void Conv2d::Kernel::backward_weight(Exec&, In, In, Out, Write) { refuse<Conv2d>(Pass::backward_weight); }

void BatchNorm::Kernel::forward_training(Exec&, In, In, In, In, Out, const BatchStatistics&) {
  refuse<BatchNorm>(Pass::forward_training);
}
void BatchNorm::Kernel::forward_inference(Exec&, In, In, In, In, In, In, Out) { refuse<BatchNorm>(Pass::forward_inference); }
void BatchNorm::Kernel::backward(Exec&, In, const Saved&, In, const Gradients&) { refuse<BatchNorm>(Pass::backward); }

void Relu::Kernel::forward(Exec&, In, Out) { refuse<Relu>(Pass::forward); }
void Relu::Kernel::backward(Exec&, In, In, Out, Write) { refuse<Relu>(Pass::backward); }

void AvgPool::Kernel::forward(Exec&, In, Out) { refuse<AvgPool>(Pass::forward); }
void AvgPool::Kernel::backward(Exec&, In, Out, Write) { refuse<AvgPool>(Pass::backward); }

void Linear::Kernel::forward(Exec&, In, In, In, Out) { refuse<Linear>(Pass::forward); }
void Linear::Kernel::backward_input(Exec&, In, In, Out, Write) { refuse<Linear>(Pass::backward_input); }
void Linear::Kernel::backward_weight(Exec&, In, In, Out, Out, Write) { refuse<Linear>(Pass::backward_weight); }

void SoftmaxCrossEntropy::Kernel::forward(Exec&, In, Labels, Out, Out) { refuse<SoftmaxCrossEntropy>(Pass::forward); }
void SoftmaxCrossEntropy::Kernel::backward(Exec&, In, Labels, float, Out) { refuse<SoftmaxCrossEntropy>(Pass::backward); }

}  // namespace apam::kernels
