#include "kernels/ops/relu.h"

namespace apam::kernels {

std::string Relu::Problem::describe() const { return fmt::format("{}{}", size, suffix(type)); }

void Relu::Kernel::forward(Exec&, In, Out) { fail_other_pass<Relu>(Pass::forward); }
void Relu::Kernel::backward(Exec&, In, In, Out, Write) { fail_other_pass<Relu>(Pass::backward); }

}  // namespace apam::kernels
