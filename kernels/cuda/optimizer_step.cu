// Optimizer steps in one pass. Per element, with g' = g + weight_decay * w, or g without weight decay, for one gradient after
// the other:
//   sgd:       w -= rate * g'
//   momentum:  m = momentum * m + g';  w -= rate * m
//   nesterov:  m as momentum;          w -= rate * (g' + momentum * m)
//   adam:      m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g' g';  w -= rate * m / (sqrt(v) + eps)
//   amsgrad:   m, v as adam;  vh = max(vh, v), NaN where v is;              w -= rate * m / (sqrt(vh) + eps)
// A new m or v below FLT_MIN in magnitude is stored as zero. If v or vh has overflowed, w becomes NaN.
// A thread computes four neighbours; without alignment to 16 bytes, one. Weights and moments stay in registers: with k
// gradients, amsgrad moves 32 + 4k bytes per element, and 2 more for the copy of the weights in bfloat16. Only a thread that
// meets a NaN or an infinity touches its place in memory.
#include <limits>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/examine.h"
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
  const float gradient = s.weight_decay == 0.0F ? g : g + s.weight_decay * e.w;
  if constexpr (rule == Rule::sgd) {
    e.w -= rate * gradient;
    return;
  }
  if constexpr (rule == Rule::momentum || rule == Rule::nesterov) {
    e.m = flushed(s.momentum * e.m + gradient);
    e.w -= rate * (rule == Rule::nesterov ? gradient + s.momentum * e.m : e.m);
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

/// Up to `most` steps on packs of `count` elements.
template <Rule rule, int count, int most>
struct Update {
  static constexpr std::size_t moments = OptimizerStep::moments_of(rule);
  static constexpr bool has_first = moments > 0, has_second = moments > 1, has_largest = moments > 2;

  struct Args {
    OptimizerStep::Scalars scalars;
    int steps;                 // 1 to most
    const float* rates;        // (steps)
    const float* g[most];      // (steps), each (size)
    const float* from;         // (size)
    float *w, *m, *v, *vh;     // (size); moments that the rule lacks are null
    BFloat16* rounded;         // (size), or null
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
    Pack<float, elements> w = load_pack<elements>(args.from + first), m{}, v{}, vh{};
    if constexpr (has_first) m = load_pack<elements>(args.m + first);
    if constexpr (has_second) v = load_pack<elements>(args.v + first);
    if constexpr (has_largest) vh = load_pack<elements>(args.vh + first);
      // Unrolled, because an array of arguments with a variable index would be copied to local memory.
#pragma unroll
    for (int k = 0; k < most; ++k) {
      if (k >= args.steps) break;
      const Pack<float, elements> g = load_pack<elements>(args.g[k] + first);
      const float rate = args.rates[k];
#pragma unroll
      for (int i = 0; i < elements; ++i) {
        Element e{w.values[i], m.values[i], v.values[i], vh.values[i]};
        update<rule>(e, g.values[i], rate, args.scalars);
        w.values[i] = e.w;
        m.values[i] = e.m;
        v.values[i] = e.v;
        vh.values[i] = e.vh;
      }
    }
    store_pack<elements>(args.w + first, w);
    if constexpr (has_first) store_pack<elements>(args.m + first, m);
    if constexpr (has_second) store_pack<elements>(args.v + first, v);
    if constexpr (has_largest) store_pack<elements>(args.vh + first, vh);
    if (args.rounded != nullptr) {
      Pack<BFloat16, elements> rounded;
#pragma unroll
      for (int i = 0; i < elements; ++i) rounded.values[i] = to_bfloat16(w.values[i]);
      store_pack<elements>(args.rounded + first, rounded);
    }
    examine(args.non_finite, first, w);
  }
};

template <Rule rule>
class UpdateKernel final : public OptimizerStep::Kernel {
 public:
  explicit UpdateKernel(std::int64_t size) : size_(size) {}

  void update(Exec& exec, const OptimizerStep::Scalars& scalars, const OptimizerStep::Steps& steps,
              const OptimizerStep::Results& out, const OptimizerStep::Moments& moments) override {
    bool packs = aligned_to(16, steps.from.data(), out.w.data(), moments.m.data(), moments.v.data(), moments.vh.data()) &&
                 aligned_to(8, out.rounded.data());
    for (const auto g : steps.g) packs = packs && aligned_to(16, g.data());
    const auto run = [&]<int count, int most>() {
      using Work = Update<rule, count, most>;
      typename Work::Args args{.scalars = scalars,
                               .steps = static_cast<int>(steps.g.size()),
                               .rates = steps.rates.data(),
                               .g = {},
                               .from = steps.from.data(),
                               .w = out.w.data(),
                               .m = moments.m.data(),
                               .v = moments.v.data(),
                               .vh = moments.vh.data(),
                               .rounded = out.rounded.data(),
                               .non_finite = out.non_finite.data(),
                               .size = size_};
      for (std::size_t k = 0; k < steps.g.size(); ++k) args.g[k] = steps.g[k].data();
      launch<Work>(exec, {blocks_for(size_, std::int64_t{Work::threads} * count)}, args);
    };
    const bool several = steps.g.size() > 1;
    if (packs) {
      several ? run.template operator()<4, OptimizerStep::kMostGradients>() : run.template operator()<4, 1>();
    } else {
      several ? run.template operator()<1, OptimizerStep::kMostGradients>() : run.template operator()<1, 1>();
    }
  }

 private:
  std::int64_t size_;
};

}  // namespace

std::unique_ptr<OptimizerStep::Kernel> make(Exec&, const OptimizerStep::Problem& problem, OptimizerStep::Pass, Target) {
  switch (problem.rule) {
    case Rule::sgd:
      return std::make_unique<UpdateKernel<Rule::sgd>>(problem.size);
    case Rule::momentum:
      return std::make_unique<UpdateKernel<Rule::momentum>>(problem.size);
    case Rule::nesterov:
      return std::make_unique<UpdateKernel<Rule::nesterov>>(problem.size);
    case Rule::adam:
      return std::make_unique<UpdateKernel<Rule::adam>>(problem.size);
    case Rule::amsgrad:
      return std::make_unique<UpdateKernel<Rule::amsgrad>>(problem.size);
  }
  return nullptr;
}

}  // namespace apam::kernels::cuda
