// The table of this provider. cuDNN is loaded when the first kernel on a GPU is chosen.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>

#include "kernels/cudnn/make.h"
#include "kernels/cudnn/remembered.h"
#include "kernels/cudnn/steps.h"
#include "kernels/providers.h"

namespace apam::kernels {
namespace cudnn {
namespace {

/// Whether every step that must have a plan has one on the current GPU. False without a GPU.
template <class Op>
bool has_plans(const typename Op::Problem& problem, typename Op::Pass pass) {
  int gpu = 0;
  if (cudaGetDevice(&gpu) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  if (!absence().empty()) return false;
  try {
    const auto all = steps(problem, pass);
    return std::all_of(all.begin(), all.end(), [gpu](const Step& step) {
      return step.need == Step::Need::if_right || !first_candidates(*step.graph, gpu, step.rules).empty();
    });
  } catch (const NotSupported&) {
    return false;
  }
}

/// No engine for batch norm is precompiled: each problem takes two to four graphs of half a second. `auto` would need minutes
/// to compare it with the native kernels, which are two launches near the bandwidth of the memory.
template <class Op>
constexpr bool kOnlyNamed = std::is_same_v<Op, BatchNorm>;

template <class Op>
constexpr std::array<Implementation<Op>, 1> kTable{Implementation<Op>{
    "cudnn", DeviceKind::cuda,
    [](const typename Op::Problem& problem, typename Op::Pass pass) { return supports(problem, pass); },
    [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) { return make(exec, problem, pass); },
    kOnlyNamed<Op>}};

template <class Op>
concept Offered = requires(const typename Op::Problem& problem, typename Op::Pass pass) {
  supports(problem, pass);
};

}  // namespace

bool supports(const Conv2d::Problem& problem, Conv2d::Pass pass) { return has_plans<Conv2d>(problem, pass); }

// The unbiased variance of one row is a case that cuDNN does not define. Its ReLU turns infinity into the largest float32,
// which a sum with a residual can be (in bfloat16 it is infinity again).
bool supports(const BatchNorm::Problem& problem, BatchNorm::Pass pass) {
  const bool bounded = pass == BatchNorm::Pass::forward_training && problem.residual && problem.type == DType::float32;
  return problem.rows > 1 && !bounded && has_plans<BatchNorm>(problem, pass);
}

}  // namespace cudnn

Tables cudnn::tables() {
  return make_tables([]<class Op>() {
    if constexpr (cudnn::Offered<Op>) {
      return Table<Op>(cudnn::kTable<Op>);
    } else {
      return Table<Op>();
    }
  });
}

}  // namespace apam::kernels
