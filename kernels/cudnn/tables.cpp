// The table of this provider. cuDNN is loaded when the first kernel on a GPU is chosen.
#include <cuda_runtime_api.h>

#include <array>

#include "kernels/cudnn/make.h"
#include "kernels/cudnn/steps.h"
#include "kernels/providers.h"

namespace apam::kernels {
namespace cudnn {
namespace {

template <class Op>
bool has_plans_here(const typename Op::Problem& problem, typename Op::Pass pass) {
  int gpu = 0;
  if (cudaGetDevice(&gpu) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return absence().empty() && has_plans<Op>(problem, pass, Properties::of_gpu(gpu));
}

template <class Op>
constexpr std::array<Implementation<Op>, 1> kTable{Implementation<Op>{
    "cudnn", DeviceKind::cuda,
    [](const typename Op::Problem& problem, typename Op::Pass pass) { return supports(problem, pass); },
    [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) { return make(exec, problem, pass); }}};

template <class Op>
concept Offered = requires(const typename Op::Problem& problem, typename Op::Pass pass) {
  supports(problem, pass);
};

}  // namespace

bool supports(const Conv2d::Problem& problem, Conv2d::Pass pass) { return has_plans_here<Conv2d>(problem, pass); }

// The unbiased variance of one row is a case that cuDNN does not define.
bool supports(const BatchNorm::Problem& problem, BatchNorm::Pass pass) {
  return problem.rows > 1 && has_plans_here<BatchNorm>(problem, pass);
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
