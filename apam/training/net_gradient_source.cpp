#include "apam/training/net_gradient_source.h"

#include <utility>
#include <vector>

#include "engine/ops/ops.h"

namespace apam::training {

engine::Tensor readable(const engine::Shape& shape, ConstSpan<float> values) {
  // A tensor is writable, but the tape does not write its inputs.
  return {shape, Span<float>(const_cast<float*>(values.data()), values.size(), values.device())};
}

NetGradientSource::NetGradientSource(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena,
                                     std::shared_ptr<const data::Batches> batches, const data::LoaderOptions& loader)
    : net_(net), arena_(arena), tape_(exec, arena), loader_(std::move(batches), loader) {}

void NetGradientSource::choose_kernels(std::int64_t rows) {
  if (rows == 0) return;
  const data::ImageShape shape = loader_.batches().dataset().info().shape;
  const engine::Shape extents{static_cast<int>(rows), shape.height, shape.width, shape.channels};
  Exec& exec = tape_.exec();
  const Buffer images(exec.device(), extents.size() * sizeof(float));
  zero(exec, images.as<float>());
  const std::vector<std::int32_t> labels(static_cast<std::size_t>(rows), 0);
  tape_.begin(engine::Mode::training);
  engine::softmax_cross_entropy(net_.forward(engine::net_input(tape_, readable(extents, images.as<float>()))),
                                Labels(std::span(labels)), 1.0F);
  tape_.backward();
  zero(exec, arena_.outgoing());
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
    zero(tape_.exec(), arena_.outgoing());
    return header;
  }
  const data::ImageShape shape = batch.shape();
  const engine::Shape extents{header.rows, shape.height, shape.width, shape.channels};
  const auto whole = static_cast<float>(loader_.batches().rows(share.batch));
  tape_.begin(engine::Mode::training);
  const engine::BatchScore score = engine::softmax_cross_entropy(
      net_.forward(engine::net_input(tape_, readable(extents, batch.images()))), batch.labels(), 1.0F / whole);
  tape_.backward();
  header.loss_sum = score.loss_sum;
  header.top1 = score.top1;
  header.top5 = score.top5;
  return header;
}

void NetGradientSource::on_gradient_ready(std::function<void(engine::ParameterId)> callback) {
  tape_.on_gradient_ready(std::move(callback));
}

}  // namespace apam::training
