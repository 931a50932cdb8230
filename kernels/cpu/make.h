// Factories of this provider: a kernel for every problem and pass of every operation, on any available instruction set.
#pragma once

#include <memory>

#include "kernels/cpu/isa.h"
#include "kernels/ops/all.h"

namespace apam::kernels::cpu {

std::unique_ptr<Conv2d::Kernel> make(Exec&, const Conv2d::Problem&, Conv2d::Pass, const Isa&);
std::unique_ptr<BatchNorm::Kernel> make(Exec&, const BatchNorm::Problem&, BatchNorm::Pass, const Isa&);
std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem&, Relu::Pass, const Isa&);
std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem&, Add::Pass, const Isa&);
std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem&, Scale::Pass, const Isa&);
std::unique_ptr<AvgPool::Kernel> make(Exec&, const AvgPool::Problem&, AvgPool::Pass, const Isa&);
std::unique_ptr<Linear::Kernel> make(Exec&, const Linear::Problem&, Linear::Pass, const Isa&);
std::unique_ptr<SoftmaxCrossEntropy::Kernel> make(Exec&, const SoftmaxCrossEntropy::Problem&, SoftmaxCrossEntropy::Pass,
                                                  const Isa&);
std::unique_ptr<Convert::Kernel> make(Exec&, const Convert::Problem&, Convert::Pass, const Isa&);
std::unique_ptr<OptimizerStep::Kernel> make(Exec&, const OptimizerStep::Problem&, OptimizerStep::Pass, const Isa&);
std::unique_ptr<RunningAverage::Kernel> make(Exec&, const RunningAverage::Problem&, RunningAverage::Pass, const Isa&);

/// Whether make() computes a convolution in bfloat16 in products of the instruction set, which are then the fastest.
bool bf16_products_pay(const Conv2d::Problem&, Conv2d::Pass, const Isa&);
/// That kernel, for any problem.
std::unique_ptr<Conv2d::Kernel> make_bf16_products(Exec&, const Conv2d::Problem&, Conv2d::Pass, const TileKernels16&);

/// Whether this folder has kernels for `Op`: an overload of make().
template <class Op>
concept Offered = requires(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass, const Isa& isa) {
  make(exec, problem, pass, isa);
};

/// Minimum number of elements per thread in a memory-bound loop; a multiple of every vector width.
inline constexpr std::int64_t kPointwiseGrain = 4096;

}  // namespace apam::kernels::cpu
