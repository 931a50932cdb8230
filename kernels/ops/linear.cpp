#include "kernels/ops/linear.h"

namespace apam::kernels {

std::string Linear::Problem::describe() const { return fmt::format("{}x{} -> {}{}", n, c, k, suffix(type)); }

void Linear::Kernel::forward(Exec&, In, const Weights&, ConstSpan<float>, Out) { fail_other_pass<Linear>(Pass::forward); }
void Linear::Kernel::backward_input(Exec&, In, const Weights&, Out, Write) { fail_other_pass<Linear>(Pass::backward_input); }
void Linear::Kernel::backward_weight(Exec&, In, In, Span<float>, Span<float>, Write) {
  fail_other_pass<Linear>(Pass::backward_weight);
}

}  // namespace apam::kernels
