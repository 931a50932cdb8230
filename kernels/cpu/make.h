// What this folder offers: a kernel for every problem of every operation, on any instruction set that the processor has.
#pragma once

#include <memory>

#include "kernels/cpu/isa.h"
#include "kernels/ops/all.h"

namespace apam::kernels::cpu {

std::unique_ptr<Conv2d::Kernel> make(Exec&, const Conv2d::Problem&, const Isa&);
std::unique_ptr<BatchNorm::Kernel> make(Exec&, const BatchNorm::Problem&, const Isa&);
std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem&, const Isa&);
std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem&, const Isa&);
std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem&, const Isa&);
std::unique_ptr<AvgPool::Kernel> make(Exec&, const AvgPool::Problem&, const Isa&);
std::unique_ptr<Linear::Kernel> make(Exec&, const Linear::Problem&, const Isa&);
std::unique_ptr<SoftmaxCrossEntropy::Kernel> make(Exec&, const SoftmaxCrossEntropy::Problem&, const Isa&);
std::unique_ptr<OptimizerStep::Kernel> make(Exec&, const OptimizerStep::Problem&, const Isa&);
std::unique_ptr<RunningAverage::Kernel> make(Exec&, const RunningAverage::Problem&, const Isa&);

/// Elements below which a thread of its own does not pay in a loop bound by memory, and a multiple of every vector width.
inline constexpr std::int64_t kPointwiseGrain = 4096;

}  // namespace apam::kernels::cpu
