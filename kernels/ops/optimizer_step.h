// Optimizer steps over flat vectors, in one fused pass. Per element, in this order, for one gradient after the other:
//   g' = g + weight_decay * w;  g without weight decay, for any w
//   sgd:       w -= rate * g'
//   momentum:  m = momentum * m + g';  w -= rate * m
//   nesterov:  m as momentum;          w -= rate * (g' + momentum * m)
//   adam:      m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g' g';  w -= rate * m / (sqrt(v) + eps)
//   amsgrad:   m, v as adam;  vh = max(vh, v), NaN where v is;              w -= rate * m / (sqrt(vh) + eps)
// A new m or v below FLT_MIN in magnitude is flushed to zero, also for w: without a gradient the moments decay forever, and
// arithmetic on denormal numbers is slow. If v or vh has overflowed, w becomes NaN rather than stop moving.
// `rate` is alpha * sqrt(1 - beta2^t) / (1 - beta1^t) for adam and amsgrad (Reddi, Kale, Kumar 2018; APAM, algorithm 1), and
// alpha for the others. It changes with every step, so it is read from memory: a captured step can be replayed. momentum and
// nesterov are the rules of torch.optim.SGD without dampening (Sutskever, Martens, Dahl, Hinton 2013, with the rate outside m).
// Elements are independent: the result is the same for any number of threads. Several gradients in one pass give the same bits
// as one pass per gradient, but move 32 + 4k in place of 36k bytes per element (amsgrad, k gradients): weights and moments stay
// in registers. In the same pass the new weights can be rounded to bfloat16, for products that read them so, and examined for
// NaN and infinities.
#pragma once

#include <array>
#include <compare>
#include <span>

#include "kernels/ops/first_non_finite.h"
#include "kernels/ops/operation.h"

namespace apam::kernels {

struct OptimizerStep {
  static constexpr std::string_view name = "optimizer_step";

  static constexpr int kMostGradients = 8;

  enum class Rule : std::uint8_t { sgd, momentum, nesterov, adam, amsgrad };
  static constexpr std::array<Rule, 5> rules{Rule::sgd, Rule::momentum, Rule::nesterov, Rule::adam, Rule::amsgrad};
  static constexpr std::array<std::string_view, 5> rule_names{"sgd", "momentum", "nesterov", "adam", "amsgrad"};
  /// The number of its moments: the first of m, v, vh.
  static constexpr std::size_t moments_of(Rule rule) {
    constexpr std::array<std::size_t, 5> kMoments{0, 1, 1, 2, 3};
    return kMoments[static_cast<std::size_t>(rule)];
  }
  struct Problem {
    std::int64_t size;
    Rule rule;
    int gradients = 1;  ///< 1 to kMostGradients
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { update };
  static constexpr std::array<std::string_view, 1> pass_names{"update"};

  /// The weights of a moving average: beta for its old value, 1 - beta for the new one, each rounded to float32 once.
  struct Decay {
    explicit constexpr Decay(double beta) : kept(static_cast<float>(beta)), taken(static_cast<float>(1.0 - beta)) {}
    float kept, taken;
  };
  /// What is the same in every step.
  struct Scalars {
    Decay beta1{0.9}, beta2{0.999};
    float eps = 1e-8F;
    float weight_decay = 0.0F;
    float momentum = 0.0F;
  };
  /// Each (size); empty if the rule has none.
  struct Moments {
    Span<float> m, v, vh;
  };

  /// One step per gradient, in this order.
  struct Steps {
    ConstSpan<float> rates;               ///< (gradients), in memory of the device
    std::span<const ConstSpan<float>> g;  ///< (gradients) in host memory, each (size)
    ConstSpan<float> from;                ///< (size), the weights before the first step
  };

  /// What is written besides the moments.
  struct Results {
    Results(Span<float> weights, Span<BFloat16> copy = {}, FirstNonFinite first = {})  // NOLINT(google-explicit-constructor)
        : w(weights), rounded(copy), non_finite(first) {}

    Span<float> w;              ///< (size), the weights after the last step; the same memory as steps.from, or apart from it
    Span<BFloat16> rounded;     ///< (size), w rounded to bfloat16; or empty
    FirstNonFinite non_finite;  ///< of w
  };

  class Kernel {
   public:
    virtual ~Kernel() = default;
    virtual void update(Exec&, const Scalars&, const Steps&, const Results&, const Moments&) = 0;
  };
};

}  // namespace apam::kernels
