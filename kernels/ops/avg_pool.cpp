#include "kernels/ops/avg_pool.h"

namespace apam::kernels {

std::string AvgPool::Problem::describe() const {
  return fmt::format("{}x{}x{}x{}, window {}{}", n, h, w, c, window, suffix(type));
}

void AvgPool::Kernel::forward(Exec&, In, Out) { fail_other_pass<AvgPool>(Pass::forward); }
void AvgPool::Kernel::backward(Exec&, In, Out, Write) { fail_other_pass<AvgPool>(Pass::backward); }

}  // namespace apam::kernels
