// The order of PyTorch's state_dict: parameters in order of registration; each batch norm's weight and bias are followed by its
// running_mean, running_var and num_batches_tracked.
#include "nets/weight_file.h"

#include <fmt/ranges.h>

#include <cstring>
#include <deque>
#include <memory>
#include <set>

#include "kernels/runtime/host_values.h"
#include "kernels/runtime/sha256.h"
#include "nets/safetensors.h"

namespace apam::nets {
namespace {

using engine::ParameterArena;
using engine::ParameterLayout;
using engine::Shape;

constexpr std::string_view kF32 = "F32";
constexpr std::string_view kI64 = "I64";
constexpr std::string_view kParallelPrefix = "module.";     // DataParallel, DistributedDataParallel
constexpr std::string_view kCompiledPrefix = "_orig_mod.";  // torch.compile

/// The shape of a parameter in a file: (K, C, R, S) for (K, R, S, C), others unchanged.
std::vector<std::int64_t> file_shape(const Shape& shape) {
  if (shape.rank() == 4) return {shape[0], shape[3], shape[1], shape[2]};
  return {shape.begin(), shape.end()};
}

/// Calls visit(file index, memory index) for every element of a parameter.
template <class Visit>
void for_each_element(const Shape& shape, Visit&& visit) {
  if (shape.rank() != 4) {
    for (std::size_t i = 0; i < shape.size(); ++i) visit(i, i);
    return;
  }
  const auto filters = static_cast<std::size_t>(shape[0]);
  const auto window = static_cast<std::size_t>(shape[1]) * static_cast<std::size_t>(shape[2]);
  const auto channels = static_cast<std::size_t>(shape[3]);
  for (std::size_t k = 0; k < filters; ++k) {
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t rs = 0; rs < window; ++rs) visit((k * channels + c) * window + rs, (k * window + rs) * channels + c);
    }
  }
}

/// One parameter in file order. `flat` has all weights or all gradients. The result refers to `flat` or to `reordered`, which
/// it overwrites.
std::span<const float> file_order(const ParameterLayout::Parameter& parameter, const HostValues& flat,
                                  std::vector<float>& reordered) {
  const auto values = flat.at(parameter.offset, parameter.shape.size());
  if (parameter.shape.rank() != 4) return values;
  reordered.resize(values.size());
  for_each_element(parameter.shape, [&](std::size_t file, std::size_t memory) { reordered[file] = values[memory]; });
  return reordered;
}

/// A list of tensors for a file. Refers to the values of its floats.
class TensorList {
 public:
  void add(std::string name, std::vector<std::int64_t> shape, std::span<const float> values) {
    tensors_.push_back({std::move(name), std::string(kF32), std::move(shape), std::as_bytes(values)});
  }
  void add(const ParameterLayout::Parameter& parameter, const HostValues& flat) {
    add(parameter.name, file_shape(parameter.shape), file_order(parameter, flat, reordered_.emplace_back()));
  }
  void add(std::string name, std::int64_t value) {
    integers_.push_back(value);
    tensors_.push_back({std::move(name), std::string(kI64), {}, std::as_bytes(std::span(&integers_.back(), 1))});
  }
  std::span<const NamedTensor> tensors() const { return tensors_; }

 private:
  std::deque<std::vector<float>> reordered_;
  std::deque<std::int64_t> integers_;
  std::vector<NamedTensor> tensors_;
};

/// Looks up a net's tensors in a file. Errors name the file and the tensor.
class StateReader {
 public:
  explicit StateReader(const std::filesystem::path& path) : file_(Safetensors::read(path)) {}

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

  /// The tensor's bytes. Throws InputError if it is missing or has another dtype or shape.
  std::span<const std::byte> take(const std::string& name, std::string_view dtype, const std::vector<std::int64_t>& shape) {
    const NamedTensor* tensor = file_.find(name);
    if (tensor == nullptr) {
      fail<InputError>("weights: {}: tensor {} is missing, expected {} of shape {}{}", file_.path().string(), quote_name(name),
                       dtype, describe_shape(shape), hint(name));
    }
    require<InputError>(tensor->dtype == dtype && tensor->shape == shape,
                        "weights: {}: tensor {} has {} of shape {}, expected {} of shape {}", file_.path().string(),
                        quote_name(name), tensor->dtype, describe_shape(tensor->shape), dtype, describe_shape(shape));
    taken_.insert(name);
    return tensor->bytes;
  }

  /// Throws InputError if the file has a tensor that take() was not called for.
  void require_all_taken() const {
    for (const auto& tensor : file_.tensors()) {
      require<InputError>(taken_.contains(tensor.name), "weights: {}: unknown tensor {} of shape {}, the net has {} tensors",
                          file_.path().string(), quote_name(tensor.name), describe_shape(tensor.shape), taken_.size());
    }
  }

 private:
  /// How to fix the file's names if they have the prefix of a PyTorch wrapper; else empty.
  std::string hint(const std::string& name) const {
    for (const auto& tensor : file_.tensors()) {
      if (!tensor.name.ends_with(name)) continue;
      const std::string prefix = tensor.name.substr(0, tensor.name.size() - name.size());
      std::string_view rest = prefix;
      while (rest.starts_with(kParallelPrefix) || rest.starts_with(kCompiledPrefix)) rest.remove_prefix(rest.find('.') + 1);
      if (prefix.empty() || !rest.empty()) continue;
      return fmt::format("; names in the file start with {0}, strip it: {{name.removeprefix({0}): tensor ...}} in Python",
                         quote_name(prefix));
    }
    return {};
  }

  Safetensors file_;
  std::set<std::string> taken_;
};

float element(std::span<const std::byte> bytes, std::size_t index) {
  float value = 0.0F;
  std::memcpy(&value, bytes.data() + index * sizeof(float), sizeof(float));
  return value;
}

/// Reads the statistics of all batch norms; resets them if the file has none.
LoadedWeights read_statistics(const ParameterLayout& layout, StateReader& file, std::span<float> statistics) {
  LoadedWeights loaded;
  for (const auto& entry : layout.statistics()) {
    loaded.running_statistics =
        loaded.running_statistics || file.has(entry.name + ".running_mean") || file.has(entry.name + ".running_var");
  }
  for (const auto& entry : layout.statistics()) {
    const auto channels = static_cast<std::size_t>(entry.channels);
    const auto mean = statistics.subspan(entry.mean_offset, channels);
    const auto variance = statistics.subspan(entry.variance_offset, channels);
    std::fill(mean.begin(), mean.end(), 0.0F);
    std::fill(variance.begin(), variance.end(), 1.0F);
    if (const auto name = entry.name + ".num_batches_tracked"; file.has(name)) {
      std::int64_t count = 0;
      std::memcpy(&count, file.take(name, kI64, {}).data(), sizeof(count));
      loaded.batches_tracked = std::max(loaded.batches_tracked.value_or(0), count);
    }
    if (!loaded.running_statistics) continue;
    const auto means = file.take(entry.name + ".running_mean", kF32, {entry.channels});
    const auto variances = file.take(entry.name + ".running_var", kF32, {entry.channels});
    std::memcpy(mean.data(), means.data(), mean.size_bytes());
    std::memcpy(variance.data(), variances.data(), variance.size_bytes());
  }
  return loaded;
}

}  // namespace

void save_weights(const std::filesystem::path& path, const ParameterArena& arena, std::int64_t batches_tracked) {
  const auto& layout = arena.layout();
  const HostValues weights(arena.weights()), statistics(arena.running_statistics());
  TensorList list;
  std::size_t parameters = 0;
  const auto add_parameters = [&](std::size_t end) {
    for (; parameters < end; ++parameters) list.add(layout.parameters()[parameters], weights);
  };
  for (const auto& entry : layout.statistics()) {
    add_parameters(entry.parameters_before);
    const auto channels = static_cast<std::size_t>(entry.channels);
    list.add(entry.name + ".running_mean", {entry.channels}, statistics.at(entry.mean_offset, channels));
    list.add(entry.name + ".running_var", {entry.channels}, statistics.at(entry.variance_offset, channels));
    list.add(entry.name + ".num_batches_tracked", batches_tracked);
  }
  add_parameters(layout.parameters().size());
  write_safetensors(path, list.tensors(), {{"format", "pt"}});
}

LoadedWeights load_weights(const std::filesystem::path& path, const ParameterArena& arena) {
  const auto& layout = arena.layout();
  StateReader file(path);
  auto state = host_values(arena.state());  // the arena is unchanged after an error
  for (const auto& parameter : layout.parameters()) {
    const auto bytes = file.take(parameter.name, kF32, file_shape(parameter.shape));
    for_each_element(parameter.shape,
                     [&](std::size_t from, std::size_t to) { state[parameter.offset + to] = element(bytes, from); });
  }
  const auto loaded = read_statistics(layout, file, std::span(state).subspan(layout.weights_size()));
  file.require_all_taken();
  copy(ConstSpan<float>(state.data(), state.size()), arena.state());
  arena.rounded().outdate();
  return loaded;
}

void save_gradients(const std::filesystem::path& path, const ParameterArena& arena, float loss) {
  const HostValues gradients(arena.gradients());
  TensorList list;
  list.add("loss", {}, std::span(&loss, 1));
  for (const auto& parameter : arena.layout().parameters()) list.add(parameter, gradients);
  write_safetensors(path, list.tensors());
}

StateDigests sha256_of(const ParameterArena& arena) {
  const HostValues weights(arena.weights()), statistics(arena.running_statistics());
  StateDigests digests;
  Sha256 hash;
  std::vector<float> reordered;
  for (const auto& parameter : arena.layout().parameters()) hash.add(std::as_bytes(file_order(parameter, weights, reordered)));
  digests.weights = hash.hex();
  for (const auto& entry : arena.layout().statistics()) {
    const auto channels = static_cast<std::size_t>(entry.channels);
    hash.add(std::as_bytes(statistics.at(entry.mean_offset, channels)));
    hash.add(std::as_bytes(statistics.at(entry.variance_offset, channels)));
  }
  digests.state = hash.hex();
  return digests;
}

}  // namespace apam::nets
