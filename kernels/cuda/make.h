// Factories of this provider: a kernel for every problem and pass of every operation. `Target` is what the sources are compiled
// for, the GPU or the emulator (simt/launch.h).
#pragma once

#include <memory>

#include "kernels/ops/all.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {

std::unique_ptr<Conv2d::Kernel> make(Exec&, const Conv2d::Problem&, Conv2d::Pass, Target);
std::unique_ptr<BatchNorm::Kernel> make(Exec&, const BatchNorm::Problem&, BatchNorm::Pass, Target);
std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem&, Relu::Pass, Target);
std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem&, Add::Pass, Target);
std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem&, Scale::Pass, Target);
std::unique_ptr<AvgPool::Kernel> make(Exec&, const AvgPool::Problem&, AvgPool::Pass, Target);
std::unique_ptr<Linear::Kernel> make(Exec&, const Linear::Problem&, Linear::Pass, Target);
std::unique_ptr<SoftmaxCrossEntropy::Kernel> make(Exec&, const SoftmaxCrossEntropy::Problem&, SoftmaxCrossEntropy::Pass,
                                                  Target);
std::unique_ptr<Convert::Kernel> make(Exec&, const Convert::Problem&, Convert::Pass, Target);
std::unique_ptr<Augment::Kernel> make(Exec&, const Augment::Problem&, Augment::Pass, Target);
std::unique_ptr<OptimizerStep::Kernel> make(Exec&, const OptimizerStep::Problem&, OptimizerStep::Pass, Target);
std::unique_ptr<RunningAverage::Kernel> make(Exec&, const RunningAverage::Problem&, RunningAverage::Pass, Target);

/// The table of this provider, with the name and device of `Target`.
Tables tables_for(Target);

}  // namespace apam::kernels::cuda
