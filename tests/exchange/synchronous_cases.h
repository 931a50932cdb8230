// Compares synchronous training of the quadratic model over any all-reduce with local training.
#pragma once

#include "apam/exchange/all_reduce.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {

/// Rows that ranks cannot divide evenly.
inline const QuadraticOptions kSummedModel{.sizes = {33, 5, 70, 16}, .channels = 3, .rows = 7, .spread = 1.5F};
inline constexpr double kRate = 0.25;

/// Result of one rank.
struct RankResult {
  std::vector<float> state;
  Recorder recorder;
};

/// One rank's part of a run. `bend` is added to a weight of this rank after update 2, to break its replica. `outgoing`: where
/// its contribution is; empty: in its own memory.
RankResult train_rank(AllReduce& all_reduce, const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
                      const Schedule& schedule, std::size_t bucket_floats, float bend = 0.0F, Span<float> outgoing = {});

/// Compares with local training on the same batches: weights and losses within what SGD of `learning_rate` can round,
/// counts exactly.
void expect_like_local(const RankResult& result, const QuadraticOptions& quadratic, double learning_rate,
                       const Schedule& schedule, int ranks);

}  // namespace apam::exchange::test
