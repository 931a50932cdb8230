#include "apam/training/evaluate.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "apam/training/net_gradient_source.h"

namespace apam::training {

namespace {

using Contents = engine::ParameterArena::Contents;

}  // namespace

Scorer::Scorer(Exec& exec, const nets::Net& net, const EvaluationImages& images)
    : exec_(exec),
      batches_(images.scored),
      arena_(exec.device(), net.layout(), images.calibration ? Contents::state_and_outgoing : Contents::state),
      step_(exec, arena_, nets::forward_of(net), batch_shape(*batches_, batches_->rows(0)), net.classes()),
      batch_(batches_->dataset().info().shape, std::min(batches_->options().batch, batches_->images())) {
  if (images.calibration) calibration_.emplace(exec, net, arena_, images);
}

std::optional<Scores> Scorer::score(ConstSpan<float> state, const GiveUp& give_up) {
  copy(exec_, state, arena_.state());
  return score(give_up);
}

std::optional<Scores> Scorer::score(const GiveUp& give_up) {
  const auto begin = std::chrono::steady_clock::now();
  Scores sums;
  if (calibration_) {
    if (!calibration_->run(give_up)) return std::nullopt;
    const Span<float> statistics = arena_.running_statistics();
    sums.statistics.resize(statistics.size());
    copy(exec_, ConstSpan<float>(statistics), Span<float>(std::span(sums.statistics)));
    exec_.synchronize();
  }
  for (std::int64_t batch = 0; batch < batches_->per_epoch(); ++batch) {
    if (give_up()) return std::nullopt;
    run(batch, sums);
  }
  const auto images = static_cast<double>(sums.images);
  sums.loss /= images;
  sums.accuracy /= images;
  sums.top5 /= images;
  sums.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return sums;
}

void Scorer::warm_up() {
  if (calibration_) calibration_->warm_up();
  Scores unused;
  const std::int64_t last = batches_->per_epoch() - 1;
  run(last, unused);
  if (batches_->rows(0) != batches_->rows(last)) run(0, unused);
}

void Scorer::run(std::int64_t batch, Scores& sums) {
  batches_->prepare(batches_->whole(batch), batch_);
  const engine::BatchScore score = step_.score(step_.run(batch_.images(), batch_.labels()));
  sums.loss += score.loss_sum;
  sums.accuracy += score.top1;
  sums.top5 += score.top5;
  sums.images += score.rows;
}

}  // namespace apam::training
