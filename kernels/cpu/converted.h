// Kernels for bfloat16 that convert their operands to float32, run the float32 kernel of the same problem, and round its
// result. They work on every instruction set and cost two or three more passes over memory than a kernel that reads bfloat16
// itself.
#pragma once

#include <memory>

#include "kernels/cpu/isa.h"
#include "kernels/ops/all.h"

namespace apam::kernels::cpu {

std::unique_ptr<Conv2d::Kernel> make_converted(Exec&, const Conv2d::Problem&, Conv2d::Pass, const Isa&);
std::unique_ptr<Linear::Kernel> make_converted(Exec&, const Linear::Problem&, Linear::Pass, const Isa&);
std::unique_ptr<SoftmaxCrossEntropy::Kernel> make_converted(Exec&, const SoftmaxCrossEntropy::Problem&,
                                                            SoftmaxCrossEntropy::Pass, const Isa&);

}  // namespace apam::kernels::cpu
