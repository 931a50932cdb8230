#include "apam/training/net_gradient_source.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace apam::training {

engine::Shape batch_shape(const data::Batches& batches, std::int64_t rows) {
  const data::ImageShape shape = batches.dataset().info().shape;
  return {static_cast<int>(rows), shape.height, shape.width, shape.channels};
}

namespace {

/// The most rows that the loader delivers at once.
std::int64_t most_rows(const data::Batches& batches, const data::LoaderOptions& loader) {
  return loader.rows > 0 ? loader.rows : batches.rows(0);
}

/// Larger data sets stay on the host: the memory is needed for activations too.
constexpr std::int64_t kMostResidentBytes = std::int64_t{16} << 30;

/// The same in the memory of a GPU; nothing on the CPU, or if they do not fit.
std::optional<engine::ResidentImages> images_for(Exec& exec, const data::Batches& batches) {
  if (exec.device().kind != DeviceKind::cuda) return std::nullopt;
  const data::ImageShape shape = batches.dataset().info().shape;
  const auto most =
      std::min<std::int64_t>(kMostResidentBytes / static_cast<std::int64_t>(shape.count()), std::numeric_limits<int>::max());
  if (batches.images() > most) return std::nullopt;
  try {
    return resident_images(exec, batches);
  } catch (const OutOfMemory&) {
    return std::nullopt;
  }
}

}  // namespace

engine::ResidentImages resident_images(Exec& exec, const data::Batches& batches) {
  const data::Normalisation& normalisation = batches.dataset().info().normalisation;
  const data::BatchOptions& options = batches.options();
  return {exec,
          {.images = batch_shape(batches, batches.images()),
           .subtract = normalisation.subtract,
           .divide = normalisation.divide,
           .padding = options.augmentation.padding,
           .flip = options.augmentation.flip,
           .seed = options.seed},
          [&](std::int64_t index, std::span<std::uint8_t> pixels) {
            const data::Sample sample = batches.dataset().read(options.split, index, pixels);
            if (sample.pixels.data() != pixels.data()) std::ranges::copy(sample.pixels, pixels.begin());
            return sample.label;
          }};
}

NetGradientSource::NetGradientSource(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena,
                                     std::shared_ptr<const data::Batches> batches, const data::LoaderOptions& loader)
    : exec_(exec),
      arena_(arena),
      batches_(std::move(batches)),
      resident_(images_for(exec, *batches_)),
      step_(exec, arena, nets::forward_of(net), batch_shape(*batches_, most_rows(*batches_, loader)), net.classes(),
            resident_ ? &*resident_ : nullptr) {
  if (!resident_) loader_.emplace(batches_, loader);
}

void NetGradientSource::choose_kernels(std::int64_t rows) {
  if (rows > 0) step_.warm_up(static_cast<int>(rows));
}

void NetGradientSource::prepare(const exchange::BatchShare& share) {
  const data::Request request = batches_->share(share.batch, share.part, share.parts);
  if (loader_) loader_->submit(request);
  announced_.push_back(request);
}

exchange::GradientHeader NetGradientSource::compute(const exchange::BatchShare& share) {
  if (announced_.empty()) prepare(share);
  const data::Request request = announced_.front();
  require<InputError>(request.batch == share.batch, "gradient: batch {} is requested, but {} was announced first", share.batch,
                      request.batch);
  announced_.pop_front();

  exchange::GradientHeader header;
  header.batch = share.batch;
  {
    exchange::TraceScope scope(track_, exchange::TraceKind::batch);
    scope.event.number = share.batch;
    header.rows = static_cast<std::int32_t>(give(request));
  }
  if (header.rows == 0) {  // more parts than images
    zero(exec_, arena_.outgoing());
    return header;
  }
  exchange::TraceScope scope(track_, exchange::TraceKind::compute);
  scope.event.number = share.batch;
  const engine::BatchScore score = step_.score(step_.compute_gradients());
  header.loss_sum = score.loss_sum;
  header.top1 = score.top1;
  header.top5 = score.top5;
  return header;
}

std::int64_t NetGradientSource::give(const data::Request& request) {
  const float scale = 1.0F / static_cast<float>(batches_->rows(request.batch));
  if (loader_) {
    const data::Batch& batch = loader_->next();
    if (batch.count() > 0) step_.load(batch.images(), batch.labels(), scale);
    return batch.count();
  }
  const std::vector<std::int64_t> images = batches_->indices(request);
  selected_.assign(images.begin(), images.end());
  if (!selected_.empty()) step_.select(selected_, batches_->epoch(request.batch), scale);
  return request.count();
}

void NetGradientSource::on_gradient_ready(std::function<void(engine::ParameterId)> callback) {
  step_.on_gradient_ready(std::move(callback));
}

}  // namespace apam::training
