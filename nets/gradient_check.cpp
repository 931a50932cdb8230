#include "nets/gradient_check.h"

#include <cstring>
#include <limits>
#include <vector>

#include "kernels/runtime/atomic_file.h"
#include "nets/safetensors.h"
#include "nets/weight_file.h"

namespace apam::nets {
namespace {

constexpr int kChannels = 3;
constexpr int kExtent = 32;

struct Batch {
  int rows = 0;
  std::vector<float> images;         // (N, H, W, C)
  std::vector<std::int32_t> labels;  // (N)
};

/// Throws InputError if the tensor is missing or has another dtype.
const NamedTensor& named(const Safetensors& file, std::string_view name, std::string_view dtype) {
  const NamedTensor* tensor = file.find(name);
  require<InputError>(tensor != nullptr, "batch: {}: tensor {} is missing, expected {}", file.path().string(), quote_name(name),
                      dtype);
  require<InputError>(tensor->dtype == dtype, "batch: {}: tensor {} has {}, expected {}", file.path().string(),
                      quote_name(name), tensor->dtype, dtype);
  return *tensor;
}

Batch read_batch(const std::filesystem::path& path, int classes) {
  const auto file = Safetensors::read(path);
  const NamedTensor& input = named(file, "input", "F32");
  const NamedTensor& target = named(file, "target", "I64");
  const std::int64_t rows = input.shape.empty() ? 0 : input.shape.front();
  require<InputError>(rows >= 1 && input.shape == std::vector<std::int64_t>{rows, kChannels, kExtent, kExtent},
                      "batch: {}: input has shape {}, expected (N, {}, {}, {}) with N >= 1", path.string(),
                      describe_shape(input.shape), kChannels, kExtent, kExtent);
  require<InputError>(rows <= std::numeric_limits<int>::max() / (kExtent * kExtent),
                      "batch: {}: {} images, expected at most {}", path.string(), rows,
                      std::numeric_limits<int>::max() / (kExtent * kExtent));
  require<InputError>(target.shape == std::vector<std::int64_t>{rows}, "batch: {}: target has shape {}, expected ({})",
                      path.string(), describe_shape(target.shape), rows);

  Batch batch{static_cast<int>(rows), std::vector<float>(input.bytes.size() / sizeof(float)), {}};
  constexpr std::size_t pixels = std::size_t{kExtent} * kExtent;
  std::vector<float> planar(batch.images.size());
  std::memcpy(planar.data(), input.bytes.data(), input.bytes.size());
  for (std::size_t i = 0; i < planar.size(); ++i) {
    const std::size_t image = i / (kChannels * pixels);
    const std::size_t channel = i / pixels % kChannels;
    batch.images[(image * pixels + i % pixels) * kChannels + channel] = planar[i];
  }
  std::vector<std::int64_t> labels(static_cast<std::size_t>(rows));
  std::memcpy(labels.data(), target.bytes.data(), target.bytes.size());
  for (const std::int64_t label : labels) {
    require<InputError>(label >= 0 && label < classes, "batch: {}: label {} is not in 0 .. {}", path.string(), label,
                        classes - 1);
    batch.labels.push_back(static_cast<std::int32_t>(label));
  }
  return batch;
}

}  // namespace

GradientSummary compute_gradients(Exec& exec, const Net& net, const GradientFiles& files,
                                  const std::function<void(const GradientSummary&)>& computed) {
  AtomicFile::check(files.out);
  const engine::ParameterArena arena(exec.device(), net.layout(), engine::ParameterArena::Contents::state_and_outgoing);
  load_weights(files.weights, arena);
  const Batch batch = read_batch(files.batch, net.classes());
  engine::TrainingStep step(exec, arena, forward_of(net), {batch.rows, kExtent, kExtent, kChannels}, net.classes());
  step.load(std::span(batch.images), std::span(batch.labels), 1.0F / static_cast<float>(batch.rows));
  const engine::BatchScore score = step.score(step.compute_gradients());
  exec.synchronize();
  const GradientSummary summary{score.mean_loss(), score.top1, score.rows};
  if (computed) computed(summary);
  save_gradients(files.out, arena, static_cast<float>(summary.loss));
  return summary;
}

}  // namespace apam::nets
