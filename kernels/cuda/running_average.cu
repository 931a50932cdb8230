// running += momentum * (batch - running), element by element. A thread computes four neighbours; without alignment to 16
// bytes, one.
#include "kernels/cuda/elements.h"
#include "kernels/cuda/examine.h"
#include "kernels/cuda/make.h"
#include "kernels/cuda/operands.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {
namespace {

template <int count>
struct Approach {
  struct Args {
    float momentum;
    const float* batch;        // (size)
    float* running;            // (size)
    std::int64_t* non_finite;  // (1), or null
    std::int64_t size;
  };
  static constexpr int threads = 256, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const std::int64_t first = (std::int64_t{block().x} * threads + thread()) * count;
    if (first + count <= args.size) return update_pack<count>(args, first);
    for (std::int64_t i = first; i < args.size; ++i) update_pack<1>(args, i);
  }

  template <int elements>
  DEVICE static void update_pack(const Args& args, std::int64_t first) {
    const auto batch = load_pack<elements>(args.batch + first);
    auto running = load_pack<elements>(args.running + first);
#pragma unroll
    for (int i = 0; i < elements; ++i) running.values[i] += args.momentum * (batch.values[i] - running.values[i]);
    store_pack<elements>(args.running + first, running);
    examine(args.non_finite, first, running);
  }
};

class UpdateKernel final : public RunningAverage::Kernel {
 public:
  explicit UpdateKernel(const RunningAverage::Problem& problem) : size_(problem.size) {}
  void update(Exec& exec, float momentum, ConstSpan<float> batch, Span<float> running, FirstNonFinite non_finite) override {
    const auto run = [&]<int count>() {
      launch<Approach<count>>(exec, {blocks_for(size_, std::int64_t{Approach<count>::threads} * count)},
                              {momentum, batch.data(), running.data(), non_finite.data(), size_});
    };
    aligned_to(16, batch.data(), running.data()) ? run.template operator()<4>() : run.template operator()<1>();
  }

 private:
  std::int64_t size_;
};

}  // namespace

std::unique_ptr<RunningAverage::Kernel> make(Exec&, const RunningAverage::Problem& problem, RunningAverage::Pass pass, Target) {
  return make_by_pass<RunningAverage, UpdateKernel>(pass, problem);
}

}  // namespace apam::kernels::cuda
