#include "tests/exchange/synchronous_cases.h"

#include <cmath>

#include "apam/exchange/synchronous.h"

namespace apam::exchange::test {

RankResult train_rank(AllReduce& all_reduce, const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
                      const Schedule& schedule, std::size_t bucket_floats, float bend, Span<float> outgoing) {
  RankResult result;
  QuadraticSource source(quadratic);
  if (!outgoing.empty()) source.use_outgoing(outgoing);
  if (all_reduce.rank() != 0) source.arena().weights().host()[0] = -99.0F;  // must be replaced by rank 0's
  result.recorder.then = [&](const UpdateRecord& record) {
    if (record.update == 2) source.arena().weights().host()[0] += bend;
  };
  Exec exec = plain_exec();
  engine::Updater updater(exec, source.arena(), options);
  ScriptedControl control;
  SynchronousTrainer(all_reduce, updater, source, schedule, result.recorder, bucket_floats).run(control);
  result.state = values(source.arena().state());
  return result;
}

// A gradient is a mean of R differences of size at most d = 1 + spread (weights stay within the targets' hull and their
// start). Summed in two different orders over R rows and N ranks, the means differ by at most 2 (R + N + 1) u d, u = 2^-24.
// An update rounds twice more: 2 u d. SGD with a step below 1 shrinks old differences, so K updates differ by at most
// K (2 lr (R + N + 1) + 2) u d. A loss is a sum of doubles of such weights: its derivative is at most R d per weight.
void expect_like_local(const RankResult& result, const QuadraticOptions& quadratic, double learning_rate,
                       const Schedule& schedule, int ranks) {
  Recorder local;
  const auto expected = train_direct(quadratic, sgd(learning_rate), schedule, local);
  const double u = 0x1p-24, d = 1.0 + static_cast<double>(quadratic.spread);
  const double bound =
      static_cast<double>(schedule.total_updates) * (2 * learning_rate * (quadratic.rows + ranks + 1) + 2) * u * d;
  std::size_t count = 0;
  for (const int size : quadratic.sizes) count += static_cast<std::size_t>(size);
  const std::size_t weights = quadratic_layout(quadratic).weights_size();
  ASSERT_EQ(result.state.size(), expected.size());
  for (std::size_t i = 0; i < weights; ++i) EXPECT_NEAR(result.state[i], expected[i], bound) << "weight " << i;

  ASSERT_EQ(result.recorder.records.size(), local.records.size());
  EXPECT_EQ(result.recorder.snapshots, local.snapshots);
  for (std::size_t i = 0; i < local.records.size(); ++i) {
    const auto& got = result.recorder.records[i];
    const auto& want = local.records[i];
    EXPECT_EQ(got.update, want.update);
    EXPECT_EQ(got.header.batch, want.header.batch);
    EXPECT_EQ(got.header.computed_at, want.header.computed_at);
    EXPECT_EQ(got.header.rows, want.header.rows);
    EXPECT_EQ(got.header.top1, want.header.top1);
    EXPECT_EQ(got.header.top5, want.header.top5);
    EXPECT_EQ(got.rate, learning_rate);
    EXPECT_NEAR(got.header.loss_sum, want.header.loss_sum, static_cast<double>(count) * quadratic.rows * d * (bound + u * d));
  }
}

}  // namespace apam::exchange::test
