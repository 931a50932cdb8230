#include "kernels/ops/conv2d.h"

namespace apam::kernels {

std::string Conv2d::Problem::describe() const {
  return fmt::format("{}x{}x{}x{} -> {}, {}x{}, stride {}, padding {}{}", n, h, w, c, k, r, s, stride, padding, suffix(type));
}

void Conv2d::Kernel::forward(Exec&, In, const Weights&, Out) { fail_other_pass<Conv2d>(Pass::forward); }
void Conv2d::Kernel::backward_input(Exec&, In, const Weights&, Out, Write) { fail_other_pass<Conv2d>(Pass::backward_input); }
void Conv2d::Kernel::backward_weight(Exec&, In, In, Span<float>, Write) { fail_other_pass<Conv2d>(Pass::backward_weight); }

}  // namespace apam::kernels
