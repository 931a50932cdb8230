#include "data/batches.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace apam::data {

Order parse_order(std::string_view text) {
  if (text == "shuffled") return Order::shuffled;
  if (text == "sequential") return Order::sequential;
  fail<InputError>("order: '{}' is unknown, expected shuffled or sequential", text);
}

BatchOptions evaluation_batches(std::int64_t batch, Split split) {
  return {.split = split, .batch = batch, .order = Order::sequential, .augmentation = kNoAugmentation, .seed = 0};
}

Batch::Batch(ImageShape shape, std::int64_t rows)
    : shape_(shape),
      capacity_(rows),
      images_(Device{}, static_cast<std::size_t>(rows) * shape.count() * sizeof(float)),
      labels_(Device{}, static_cast<std::size_t>(rows) * sizeof(std::int32_t)),
      pixels_(shape.count()),
      row_(shape.row()) {}

ConstSpan<float> Batch::images() const {
  return images_.as<float>().subspan(0, static_cast<std::size_t>(count()) * shape_.count());
}

Labels Batch::labels() const { return labels_.as<std::int32_t>().subspan(0, static_cast<std::size_t>(count())); }

Batches::Batches(std::shared_ptr<const Dataset> dataset, const BatchOptions& options)
    : dataset_(std::move(dataset)),
      options_(options),
      images_(dataset_->info().images(options.split)),
      per_epoch_(0),
      writer_(dataset_->info().shape, dataset_->info().normalisation, options.augmentation.padding) {
  require<InputError>(options.batch >= 1, "batches: {} images per batch, expected at least 1", options.batch);
  per_epoch_ = images_ / options.batch + (images_ % options.batch != 0 ? 1 : 0);
  if (options.order == Order::shuffled) permutations_ = std::make_unique<Permutations>(images_, options.seed);
}

std::int64_t Batches::rows(std::int64_t batch) const {
  const bool last = batch % per_epoch_ == per_epoch_ - 1;
  return last ? images_ - (per_epoch_ - 1) * options_.batch : options_.batch;
}

void Batches::check(const Request& request) const {
  require<ShapeError>(request.batch >= 0, "batches: batch {} requested, expected 0 or more", request.batch);
  const std::int64_t available = rows(request.batch);
  require<ShapeError>(0 <= request.rows.begin && request.rows.begin <= request.rows.end && request.rows.end <= available,
                      "batches: rows {} to {} requested of batch {}, which has {}", request.rows.begin, request.rows.end,
                      request.batch, available);
}

template <class Body>
void Batches::for_each_image(const Request& request, Body&& body) const {
  const std::int64_t first = (request.batch % per_epoch_) * options_.batch;
  const auto order = permutations_ ? permutations_->of(epoch(request.batch)) : nullptr;
  for (std::int64_t row = request.rows.begin; row < request.rows.end; ++row) {
    const std::int64_t position = first + row;
    body(row - request.rows.begin, order ? (*order)[static_cast<std::size_t>(position)] : position);
  }
}

void Batches::prepare(const Request& request, Batch& out) const {
  check(request);
  require<ShapeError>(request.count() <= out.capacity() && out.shape() == dataset_->info().shape,
                      "batches: {} images of {} requested, the target has room for {} of {}", request.count(),
                      to_string(dataset_->info().shape), out.capacity(), to_string(out.shape()));
  out.request_ = request;
  const auto images = out.images_.as<float>().host();         // (N, H, W, C)
  const auto labels = out.labels_.as<std::int32_t>().host();  // (N)
  const std::size_t values = out.shape().count();
  for_each_image(request, [&](std::int64_t row, std::int64_t image) {
    const Sample sample = dataset_->read(options_.split, image, out.pixels_);
    const Placement placement = draw_placement(options_.augmentation, options_.seed, epoch(request.batch), image);
    writer_.write(sample.pixels, placement, out.row_, images.subspan(static_cast<std::size_t>(row) * values, values));
    labels[static_cast<std::size_t>(row)] = sample.label;
  });
}

std::vector<std::int64_t> Batches::indices(const Request& request) const {
  check(request);
  std::vector<std::int64_t> result;
  for_each_image(request, [&](std::int64_t, std::int64_t image) { result.push_back(image); });
  return result;
}

}  // namespace apam::data
