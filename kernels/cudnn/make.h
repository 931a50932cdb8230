// Factories of this provider, and what it supports.
#pragma once

#include <memory>

#include "kernels/ops/batch_norm.h"
#include "kernels/ops/conv2d.h"

namespace apam::kernels::cudnn {

std::unique_ptr<Conv2d::Kernel> make(Exec&, const Conv2d::Problem&, Conv2d::Pass);
std::unique_ptr<BatchNorm::Kernel> make(Exec&, const BatchNorm::Problem&, BatchNorm::Pass);

/// Whether cuDNN can be loaded, and has a plan that is allowed for every step on the current GPU. False without a GPU.
bool supports(const Conv2d::Problem&, Conv2d::Pass);
bool supports(const BatchNorm::Problem&, BatchNorm::Pass);

}  // namespace apam::kernels::cudnn
