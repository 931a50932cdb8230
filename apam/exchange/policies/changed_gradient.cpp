#include "apam/exchange/policies/changed_gradient.h"

#include "kernels/runtime/parallel.h"

namespace apam::exchange {
namespace {

constexpr std::int64_t kGrain = 1 << 14;  // elements

template <class Element>
void for_each(int threads, std::size_t count, Element&& element) {
  parallel_for(threads, static_cast<std::int64_t>(count), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) element(i);
  });
}

}  // namespace

ChangedGradient::ChangedGradient(Device device, std::size_t weights, std::size_t size, int threads)
    : weights_(weights), threads_(threads), memory_(device, size * sizeof(float), MemoryKind::pinned) {
  if (device.kind == DeviceKind::cuda) on_gpu_ = Buffer(device, size * sizeof(float));
}

std::span<const float> ChangedGradient::on_host(ConstSpan<float> values, std::size_t place) {
  if (values.device().kind == DeviceKind::cpu) return values.host();
  Buffer& operand = operands_.at(place);
  if (operand.size_bytes() != values.size_bytes()) operand = Buffer(values.device(), values.size_bytes(), MemoryKind::pinned);
  copy(values, operand.as<float>());
  return operand.as<float>().host();
}

ConstSpan<float> ChangedGradient::result() {
  if (on_gpu_.size_bytes() == 0) return memory_.as<float>();
  copy(memory_.as<float>(), on_gpu_.as<float>());
  return on_gpu_.as<float>();
}

ConstSpan<float> ChangedGradient::scaled(ConstSpan<float> contribution, float factor) {
  const auto g = on_host(contribution, 0);
  const auto to = memory_.as<float>().host();
  for_each(threads_, to.size(), [&](std::size_t i) { to[i] = i < weights_ ? factor * g[i] : g[i]; });
  return result();
}

ConstSpan<float> ChangedGradient::compensated(ConstSpan<float> contribution, float factor, ConstSpan<float> now,
                                              ConstSpan<float> base) {
  const auto g = on_host(contribution, 0), w = on_host(now, 1), old = on_host(base, 2);
  const auto to = memory_.as<float>().host();
  for_each(threads_, to.size(),
           [&](std::size_t i) { to[i] = i < weights_ ? g[i] + factor * g[i] * g[i] * (w[i] - old[i]) : g[i]; });
  return result();
}

std::int64_t ChangedGradient::add(ConstSpan<float> contribution) {
  const auto g = on_host(contribution, 0);
  const auto to = memory_.as<float>().host();
  const bool first = added_ == 0;
  for_each(threads_, to.size(), [&](std::size_t i) { to[i] = first ? g[i] : to[i] + g[i]; });
  return ++added_;
}

ConstSpan<float> ChangedGradient::take_mean() {
  const auto to = memory_.as<float>().host();
  const float share = 1.0F / static_cast<float>(added_);
  for_each(threads_, to.size(), [&](std::size_t i) { to[i] *= share; });
  added_ = 0;
  return result();
}

}  // namespace apam::exchange
