// What this folder offers: kernels for the operations that have an overload of make(), for the problems and passes that its
// supports() admits; without one, all.
#pragma once

#include <memory>

#include "kernels/ops/all.h"

namespace apam::kernels::onednn {

std::unique_ptr<Conv2d::Kernel> make(Exec&, const Conv2d::Problem&);
std::unique_ptr<BatchNorm::Kernel> make(Exec&, const BatchNorm::Problem&);
std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem&);
std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem&);
std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem&);
std::unique_ptr<AvgPool::Kernel> make(Exec&, const AvgPool::Problem&);
std::unique_ptr<Linear::Kernel> make(Exec&, const Linear::Problem&);

bool supports(const BatchNorm::Problem&, BatchNorm::Pass);
bool supports(const Relu::Problem&, Relu::Pass);

}  // namespace apam::kernels::onednn
