// Factories of this provider: kernels for the operations with an overload of make(), for the problems and passes accepted by
// supports(); for all float32 problems and passes if there is no overload of supports().
#pragma once

#include <memory>

#include "kernels/ops/all.h"

namespace apam::kernels::onednn {

std::unique_ptr<Conv2d::Kernel> make(Exec&, const Conv2d::Problem&, Conv2d::Pass);
std::unique_ptr<BatchNorm::Kernel> make(Exec&, const BatchNorm::Problem&, BatchNorm::Pass);
std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem&, Relu::Pass);
std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem&, Add::Pass);
std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem&, Scale::Pass);
std::unique_ptr<AvgPool::Kernel> make(Exec&, const AvgPool::Problem&, AvgPool::Pass);
std::unique_ptr<Linear::Kernel> make(Exec&, const Linear::Problem&, Linear::Pass);

bool supports(const Conv2d::Problem&, Conv2d::Pass);
bool supports(const BatchNorm::Problem&, BatchNorm::Pass);
bool supports(const Relu::Problem&, Relu::Pass);

}  // namespace apam::kernels::onednn
