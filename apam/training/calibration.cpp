#include "apam/training/calibration.h"

#include "apam/training/net_gradient_source.h"

namespace apam::training {

Calibration::Calibration(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena, const EvaluationImages& images)
    : exec_(exec),
      arena_(arena),
      batches_(images.calibration),
      count_(images.calibration_batches),
      step_(exec, arena, nets::forward_of(net), batch_shape(*batches_, batches_->rows(0)), net.classes()),
      batch_(batches_->dataset().info().shape, batches_->rows(0)),
      sums_(net.layout().statistics_size()),
      statistics_(sums_.size()) {
  const bool whole = count_ >= 1 && count_ <= batches_->per_epoch() && batches_->rows(count_ - 1) == batches_->rows(0);
  require<InputError>(whole, "calibration: {} batches of {} of {} images, expected 1 or more that are whole", count_,
                      batches_->rows(0), batches_->images());
}

bool Calibration::run(const std::function<bool()>& give_up) {
  sums_.assign(sums_.size(), 0.0);
  for (std::int64_t batch = 0; batch < count_; ++batch) {
    if (give_up()) return false;
    compute(batch);
    copy(exec_, ConstSpan<float>(arena_.batch_statistics()), Span<float>(std::span(statistics_)));
    exec_.synchronize();
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += static_cast<double>(statistics_[i]);
  }
  for (std::size_t i = 0; i < sums_.size(); ++i) statistics_[i] = static_cast<float>(sums_[i] / static_cast<double>(count_));
  copy(exec_, ConstSpan<float>(std::span<const float>(statistics_)), arena_.running_statistics());
  exec_.synchronize();
  return true;
}

void Calibration::warm_up() {
  compute(0);
  exec_.synchronize();
}

void Calibration::compute(std::int64_t batch) {
  batches_->prepare(batches_->whole(batch), batch_);
  step_.run(batch_.images(), batch_.labels());
}

}  // namespace apam::training
