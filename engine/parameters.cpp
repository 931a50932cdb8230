#include "engine/parameters.h"

#include <algorithm>
#include <utility>

#include "kernels/runtime/finite.h"
#include "kernels/runtime/philox.h"

namespace apam::engine {
namespace {

constexpr std::size_t kParameterAlignment = 16;  // floats: 64 bytes

std::size_t aligned(std::size_t size) { return (size + kParameterAlignment - 1) / kParameterAlignment * kParameterAlignment; }

}  // namespace

ParameterId ParameterLayout::add(std::string name, const Shape& shape, Initializer initial) {
  for (const auto& known : parameters_) {
    require<InputError>(known.name != name, "parameters: duplicate name '{}'", name);
  }
  parameters_.push_back({std::move(name), shape, initial, weights_size_});
  weights_size_ += aligned(shape.size());
  return {static_cast<int>(parameters_.size()) - 1};
}

StatisticsId ParameterLayout::add_statistics(std::string name, int channels) {
  for (const auto& known : statistics_) {
    require<InputError>(known.name != name, "statistics: duplicate name '{}'", name);
  }
  const std::size_t window = aligned(static_cast<std::size_t>(channels));
  statistics_.push_back({std::move(name), channels, statistics_size_, statistics_size_ + window, parameters_.size()});
  statistics_size_ += 2 * window;
  return {static_cast<int>(statistics_.size()) - 1};
}

std::size_t ParameterLayout::parameter_count() const {
  std::size_t count = 0;
  for (const auto& parameter : parameters_) count += parameter.shape.size();
  return count;
}

ParameterArena::ParameterArena(Device device, ParameterLayout layout, Contents contents)
    : device_(device), layout_(std::move(layout)), rounded_(std::make_unique<RoundedWeights>(device, layout_.weights_size())) {
  if (contents == Contents::none) return;
  const std::size_t bytes = (layout_.weights_size() + layout_.statistics_size()) * sizeof(float);
  state_ = Buffer(device, bytes);
  zero(state());
  weights_read_ = weights();
  if (contents == Contents::state_and_outgoing) {
    own_outgoing_ = Buffer(device, bytes);
    outgoing_ = own_outgoing_.as<float>();
    zero(outgoing_);
  }
  reset_running_statistics();
}

void ParameterArena::require_usable(ConstSpan<float> memory, std::size_t size, std::string_view what) const {
  require<ShapeError>(memory.size() == size, "parameters: {} of {} floats, the layout has {}", what, memory.size(), size);
  require<DeviceError>(memory.device() == device_, "parameters: {} on {}, the arena is on {}", what, to_string(memory.device()),
                       to_string(device_));
  const auto past = reinterpret_cast<std::uintptr_t>(memory.data()) % (kParameterAlignment * sizeof(float));
  require<DeviceError>(past == 0, "parameters: {} at {} bytes past a multiple of {}, expected 0", what, past,
                       kParameterAlignment * sizeof(float));
}

void ParameterArena::use_outgoing(Span<float> outgoing) {
  require_usable(outgoing, layout_.weights_size() + layout_.statistics_size(), "a contribution");
  zero(outgoing);
  outgoing_ = outgoing;
  own_outgoing_ = {};
}

void ParameterArena::read_weights_from(ConstSpan<float> weights) const {
  require_usable(weights, layout_.weights_size(), "weights");
  require<DeviceError>(device_.kind == DeviceKind::cpu || weights.data() == weights_read_.data(),
                       "parameters: on {} layers read the arena's own weights, whose address recorded graphs have, expected "
                       "{}, got {}; copy them there",
                       to_string(device_), static_cast<const void*>(weights_read_.data()),
                       static_cast<const void*>(weights.data()));
  weights_read_ = weights;
}

void ParameterArena::write_outgoing_to(Span<float> outgoing) const {
  require_usable(outgoing, layout_.weights_size() + layout_.statistics_size(), "a contribution");
  require<DeviceError>(
      device_.kind == DeviceKind::cpu || outgoing.data() == outgoing_.data(),
      "parameters: on {} steps write one contribution, whose address recorded graphs have, expected {}, got {}",
      to_string(device_), static_cast<const void*>(outgoing_.data()), static_cast<const void*>(outgoing.data()));
  outgoing_ = outgoing;
}

ParameterView ParameterArena::weight(ParameterId id) const {
  const auto& parameter = layout_[id];
  return {parameter.shape, weights().subspan(parameter.offset, parameter.shape.size())};
}

ConstParameterView ParameterArena::weight_read(ParameterId id) const {
  const auto& parameter = layout_[id];
  return {parameter.shape, weights_read().subspan(parameter.offset, parameter.shape.size())};
}

ParameterView ParameterArena::gradient(ParameterId id) const {
  const auto& parameter = layout_[id];
  return {parameter.shape, gradients().subspan(parameter.offset, parameter.shape.size())};
}

ParameterArena::Moments ParameterArena::running(StatisticsId id) const {
  const auto& entry = layout_[id];
  const auto channels = static_cast<std::size_t>(entry.channels);
  const Span<float> all = running_statistics();
  return {all.subspan(entry.mean_offset, channels), all.subspan(entry.variance_offset, channels)};
}

ParameterArena::Moments ParameterArena::batch(StatisticsId id) const {
  const auto& entry = layout_[id];
  const auto channels = static_cast<std::size_t>(entry.channels);
  const Span<float> all = batch_statistics();
  return {all.subspan(entry.mean_offset, channels), all.subspan(entry.variance_offset, channels)};
}

void ParameterArena::initialize(std::uint64_t seed) const {
  std::vector<float> values(layout_.weights_size());  // the padding stays zero
  for (std::size_t i = 0; i < layout_.parameters().size(); ++i) {
    const auto& parameter = layout_.parameters()[i];
    const Initializer initial = parameter.initial;
    const Random random(seed, Purpose::initial_weights, i);
    for (std::size_t j = 0; j < parameter.shape.size(); ++j) {
      float& value = values[parameter.offset + j];
      switch (initial.kind) {
        case Initializer::Kind::constant:
          value = initial.scale;
          break;
        case Initializer::Kind::uniform:
          value = initial.scale * (2.0F * random.uniform(j) - 1.0F);
          break;
        case Initializer::Kind::normal:
          value = initial.scale * random.normal(j);
          break;
      }
    }
  }
  copy(std::span(values), weights());
  rounded_->outdate();
  reset_running_statistics();
}

void ParameterArena::reset_running_statistics() const {
  std::vector<float> values(layout_.statistics_size());
  for (const auto& entry : layout_.statistics()) {
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(entry.variance_offset), entry.channels, 1.0F);
  }
  copy(std::span(values), running_statistics());
}

std::optional<std::string> non_finite_tensor(Exec& exec, const ParameterLayout& layout, ConstSpan<float> state) {
  if (state.device().kind != DeviceKind::cpu) {
    std::vector<float> on_host(state.size());
    copy(exec, state, Span<float>(std::span(on_host)));
    exec.synchronize();
    return non_finite_tensor(exec, layout, std::span<const float>(on_host));
  }
  if (all_finite(exec, state)) return std::nullopt;
  return tensor_at(layout, static_cast<std::size_t>(first_non_finite(state.data(), static_cast<std::int64_t>(state.size()))));
}

std::string tensor_at(const ParameterLayout& layout, std::size_t index) {
  const auto has = [](std::size_t offset, std::size_t size, std::size_t place) {
    return place >= offset && place < offset + size;
  };
  for (const auto& parameter : layout.parameters()) {
    if (has(parameter.offset, parameter.shape.size(), index)) return parameter.name;
  }
  const std::size_t in_statistics = index - std::min(index, layout.weights_size());
  for (const auto& entry : layout.statistics()) {
    if (index < layout.weights_size()) break;
    const auto channels = static_cast<std::size_t>(entry.channels);
    if (has(entry.mean_offset, channels, in_statistics)) return entry.name + ".running_mean";
    if (has(entry.variance_offset, channels, in_statistics)) return entry.name + ".running_var";
  }
  return "padding between tensors";
}

}  // namespace apam::engine
