// Lets the program leave its kernels out: with GUARDED_GPU_WITHOUT_KERNELS in the environment it does all that it does around
// them on a GPU, in a moment.
#include <cstdlib>
#include <optional>

#include "tests/kernels/cuda/guarded/guarded_gpu.h"

namespace apam::support {
namespace {

[[maybe_unused]] const auto kLeftOut = [] {
  auto* const left_out = new std::optional<WithoutKernels>;  // until the process ends
  if (std::getenv("GUARDED_GPU_WITHOUT_KERNELS") != nullptr) left_out->emplace();
  return left_out;
}();

}  // namespace
}  // namespace apam::support
