// A source of gradients of a model with a closed form.
//
//   rows        t_r = spread * U(-1, 1), a pure function of (batch, row)
//   loss        1/2 |w - t_r|^2 per row, so its gradient is w - t_r
//   statistics  mean and unbiased variance over the share's rows of w_0 + t_r, channel by channel
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "apam/exchange/gradient_source.h"

namespace apam::exchange::test {

struct QuadraticOptions {
  std::vector<int> sizes{1};  // of the parameters
  int channels = 0;           // of one set of statistics; 0: none
  int rows = 1;               // of a mini-batch
  float spread = 0.0F;        // of the targets
  bool announces = true;      // reports ready gradients, last parameter first
  int first = -1;             // with announces: this parameter comes before all others
  std::chrono::milliseconds delay{0};
};

inline constexpr float kFirstWeight = 1.0F;  // all weights start there

engine::ParameterLayout quadratic_layout(const QuadraticOptions& options);

class QuadraticSource final : public GradientSource {
 public:
  explicit QuadraticSource(const QuadraticOptions& options);

  void prepare(const BatchShare& share) override { prepared_.push_back(share.batch); }
  GradientHeader compute(const BatchShare& share) override;
  const engine::ParameterArena& arena() const override { return arena_; }
  void on_gradient_ready(std::function<void(engine::ParameterId)> callback) override { ready_ = std::move(callback); }

  /// From now on the contribution is there.
  void use_outgoing(Span<float> outgoing) { arena_.use_outgoing(outgoing); }

  float target(std::int64_t batch, int row, std::size_t element) const;
  const std::vector<std::int64_t>& prepared() const { return prepared_; }  // batches, in order
  const std::vector<std::int64_t>& computed() const { return computed_; }

 private:
  void compute_parameter(const BatchShare& share, std::size_t index, GradientHeader& header);
  void compute_statistics(const BatchShare& share);

  QuadraticOptions options_;
  engine::ParameterArena arena_;
  std::function<void(engine::ParameterId)> ready_;
  std::vector<std::int64_t> prepared_, computed_;
};

}  // namespace apam::exchange::test
