// Optimizer step in one pass. Per element, with g' = g + weight_decay * w:
//   sgd:      w -= rate * g'
//   adam:     m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g' g';  w -= rate * m / (sqrt(v) + eps)
//   amsgrad:  m, v as adam;  vh = max(vh, v), NaN where v is;              w -= rate * m / (sqrt(vh) + eps)
// A new m or v below FLT_MIN in magnitude is stored as zero. If v or vh has overflowed, w becomes NaN.
// A thread computes four neighbours; without alignment to 16 bytes, one. Bound by memory: amsgrad moves 36 bytes per element.
#include <limits>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/make.h"
#include "kernels/cuda/operands.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {
namespace {

using Rule = OptimizerStep::Rule;

constexpr float kLargest = std::numeric_limits<float>::max(), kSmallest = std::numeric_limits<float>::min();

/// Zero for denormal numbers; keeps NaN.
DEVICE float flushed(float moment) { return fabsf(moment) < kSmallest ? 0 : moment; }

/// One parameter with its moments.
struct Element {
  float w, m, v, vh;
};

template <Rule rule>
DEVICE void update(Element& e, float g, float rate, const OptimizerStep::Scalars& s) {
  const float gradient = g + s.weight_decay * e.w;
  if constexpr (rule == Rule::sgd) {
    e.w -= rate * gradient;
    return;
  }
  e.m = flushed(s.beta1.kept * e.m + s.beta1.taken * gradient);
  e.v = flushed(s.beta2.kept * e.v + s.beta2.taken * gradient * gradient);
  float second = e.v;
  if constexpr (rule == Rule::amsgrad) {
    second = e.v < e.vh ? e.vh : e.v;  // a NaN of v stays
    e.vh = second;
  }
  const float step = rate * e.m / (sqrtf(second) + s.eps);
  e.w = second <= kLargest ? e.w - step : std::numeric_limits<float>::quiet_NaN();
}

template <Rule rule, int count>
struct Update {
  static constexpr bool has_moments = rule != Rule::sgd, has_largest = rule == Rule::amsgrad;
  using Elements = Pack<float, count>;

  struct Args {
    OptimizerStep::Scalars scalars;
    const float* rate;      // (1)
    const float* g;         // (size)
    float *w, *m, *v, *vh;  // (size); moments are null if the rule has none
    std::int64_t size;
  };
  static constexpr int threads = 256, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const std::int64_t first = (std::int64_t{block().x} * threads + thread()) * count;
    if (first + count <= args.size) return update_pack(args, first);
    for (std::int64_t i = first; i < args.size; ++i) {
      Element e{args.w[i], has_moments ? args.m[i] : 0, has_moments ? args.v[i] : 0, has_largest ? args.vh[i] : 0};
      update<rule>(e, args.g[i], args.rate[0], args.scalars);
      args.w[i] = e.w;
      if constexpr (has_moments) {
        args.m[i] = e.m;
        args.v[i] = e.v;
      }
      if constexpr (has_largest) args.vh[i] = e.vh;
    }
  }

  DEVICE static void update_pack(const Args& args, std::int64_t first) {
    const float rate = args.rate[0];
    const Elements g = load_pack<count>(args.g + first);
    Elements w = load_pack<count>(args.w + first), m{}, v{}, vh{};
    if constexpr (has_moments) {
      m = load_pack<count>(args.m + first);
      v = load_pack<count>(args.v + first);
    }
    if constexpr (has_largest) vh = load_pack<count>(args.vh + first);
#pragma unroll
    for (int i = 0; i < count; ++i) {
      Element e{w.values[i], m.values[i], v.values[i], vh.values[i]};
      update<rule>(e, g.values[i], rate, args.scalars);
      w.values[i] = e.w;
      m.values[i] = e.m;
      v.values[i] = e.v;
      vh.values[i] = e.vh;
    }
    store_pack<count>(args.w + first, w);
    if constexpr (has_moments) {
      store_pack<count>(args.m + first, m);
      store_pack<count>(args.v + first, v);
    }
    if constexpr (has_largest) store_pack<count>(args.vh + first, vh);
  }
};

template <Rule rule>
class UpdateKernel final : public OptimizerStep::Kernel {
 public:
  explicit UpdateKernel(std::int64_t size) : size_(size) {}

  void update(Exec& exec, const OptimizerStep::Scalars& scalars, ConstSpan<float> rate, ConstSpan<float> g, Span<float> w,
              const OptimizerStep::Moments& moments) override {
    const bool packs = aligned_to(16, g.data(), w.data(), moments.m.data(), moments.v.data(), moments.vh.data());
    const auto run = [&]<int count>() {
      using Work = Update<rule, count>;
      launch<Work>(exec, {blocks_for(size_, std::int64_t{Work::threads} * count)},
                   {scalars, rate.data(), g.data(), w.data(), moments.m.data(), moments.v.data(), moments.vh.data(), size_});
    };
    packs ? run.template operator()<4>() : run.template operator()<1>();
  }

 private:
  std::int64_t size_;
};

}  // namespace

std::unique_ptr<OptimizerStep::Kernel> make(Exec&, const OptimizerStep::Problem& problem, OptimizerStep::Pass, Target) {
  switch (problem.rule) {
    case Rule::sgd:
      return std::make_unique<UpdateKernel<Rule::sgd>>(problem.size);
    case Rule::adam:
      return std::make_unique<UpdateKernel<Rule::adam>>(problem.size);
    case Rule::amsgrad:
      return std::make_unique<UpdateKernel<Rule::amsgrad>>(problem.size);
  }
  return nullptr;
}

}  // namespace apam::kernels::cuda
