#include "apam/training/net_gradient_source.h"

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

}  // namespace

NetGradientSource::NetGradientSource(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena,
                                     std::shared_ptr<const data::Batches> batches, const data::LoaderOptions& loader)
    : exec_(exec),
      arena_(arena),
      loader_(std::move(batches), loader),
      step_(exec, arena, nets::forward_of(net), batch_shape(loader_.batches(), most_rows(loader_.batches(), loader)),
            net.classes()) {}

void NetGradientSource::choose_kernels(std::int64_t rows) {
  if (rows > 0) step_.warm_up(static_cast<int>(rows));
}

void NetGradientSource::prepare(const exchange::BatchShare& share) {
  const data::Request request = loader_.batches().share(share.batch, share.part, share.parts);
  loader_.submit(request);
  announced_.push_back(request);
}

exchange::GradientHeader NetGradientSource::compute(const exchange::BatchShare& share) {
  if (announced_.empty()) prepare(share);
  const data::Request request = announced_.front();
  require<InputError>(request.batch == share.batch, "gradient: batch {} is requested, but {} was announced first", share.batch,
                      request.batch);
  announced_.pop_front();
  const data::Batch& batch = loader_.next();

  exchange::GradientHeader header;
  header.batch = share.batch;
  header.rows = static_cast<std::int32_t>(batch.count());
  if (batch.count() == 0) {  // more parts than images
    zero(exec_, arena_.outgoing());
    return header;
  }
  step_.load(batch.images(), batch.labels(), 1.0F / static_cast<float>(loader_.batches().rows(share.batch)));
  const engine::BatchScore score = step_.score(step_.compute_gradients());
  header.loss_sum = score.loss_sum;
  header.top1 = score.top1;
  header.top5 = score.top5;
  return header;
}

void NetGradientSource::on_gradient_ready(std::function<void(engine::ParameterId)> callback) {
  step_.on_gradient_ready(std::move(callback));
}

}  // namespace apam::training
