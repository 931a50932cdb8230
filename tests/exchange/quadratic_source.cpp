#include "tests/exchange/quadratic_source.h"

#include <thread>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/philox.h"

namespace apam::exchange::test {

engine::ParameterLayout quadratic_layout(const QuadraticOptions& options) {
  engine::ParameterLayout layout;
  for (std::size_t i = 0; i < options.sizes.size(); ++i) {
    layout.add(fmt::format("w{}", i), engine::Shape{options.sizes[i]}, engine::Initializer::constant(kFirstWeight));
  }
  if (options.channels > 0) layout.add_statistics("bn", options.channels);
  return layout;
}

QuadraticSource::QuadraticSource(const QuadraticOptions& options) : options_(options), arena_({}, quadratic_layout(options)) {
  arena_.initialize(0);
}

float QuadraticSource::target(std::int64_t batch, int row, std::size_t element) const {
  const Random random(7, Purpose::sample, static_cast<std::uint64_t>(batch));
  const std::size_t stride = arena_.layout().weights_size() + static_cast<std::size_t>(options_.channels);
  return options_.spread * (2.0F * random.uniform(static_cast<std::size_t>(row) * stride + element) - 1.0F);
}

GradientHeader QuadraticSource::compute(const BatchShare& share) {
  std::this_thread::sleep_for(options_.delay);
  computed_.push_back(share.batch);
  const Range rows = split(options_.rows, share.part, share.parts);
  GradientHeader header;
  header.batch = share.batch;
  header.rows = static_cast<std::int32_t>(rows.end - rows.begin);
  if (header.rows == 0) return header;
  if (options_.channels > 0) compute_statistics(share);
  if (options_.first >= 0) compute_parameter(share, static_cast<std::size_t>(options_.first), header);
  for (std::size_t i = options_.sizes.size(); i-- > 0;) {
    if (static_cast<int>(i) != options_.first) compute_parameter(share, i, header);
  }
  for (auto row = static_cast<int>(rows.begin); row < rows.end; ++row) header.top1 += target(share.batch, row, 0) > 0 ? 1 : 0;
  header.top5 = header.rows;
  return header;
}

void QuadraticSource::compute_parameter(const BatchShare& share, std::size_t index, GradientHeader& header) {
  const engine::ParameterId id{static_cast<int>(index)};
  const auto w = arena_.weight_read(id).data.host();
  const auto dw = arena_.gradient(id).data.host();
  const std::size_t offset = arena_.layout()[id].offset;
  const Range rows = split(options_.rows, share.part, share.parts);
  for (std::size_t j = 0; j < w.size(); ++j) {
    float sum = 0.0F;
    for (auto row = static_cast<int>(rows.begin); row < rows.end; ++row) {
      const float difference = w[j] - target(share.batch, row, offset + j);
      sum += difference;
      header.loss_sum += 0.5 * static_cast<double>(difference) * static_cast<double>(difference);
    }
    dw[j] = sum / static_cast<float>(options_.rows);
  }
  if (options_.announces && ready_) ready_(id);
}

void QuadraticSource::compute_statistics(const BatchShare& share) {
  const auto moments = arena_.batch(engine::StatisticsId{0});
  const auto mean = moments.mean.host();
  const auto variance = moments.variance.host();
  const float first = arena_.weights_read().host()[0];
  const Range rows = split(options_.rows, share.part, share.parts);
  const auto n = static_cast<float>(rows.end - rows.begin);
  for (std::size_t c = 0; c < mean.size(); ++c) {
    const std::size_t element = arena_.layout().weights_size() + c;
    float sum = 0.0F, squares = 0.0F;
    for (auto row = static_cast<int>(rows.begin); row < rows.end; ++row) sum += first + target(share.batch, row, element);
    mean[c] = sum / n;
    for (auto row = static_cast<int>(rows.begin); row < rows.end; ++row) {
      const float difference = first + target(share.batch, row, element) - mean[c];
      squares += difference * difference;
    }
    variance[c] = n > 1 ? squares / (n - 1) : 0.0F;
  }
}

}  // namespace apam::exchange::test
