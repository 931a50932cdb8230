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

ChangedGradient::ChangedGradient(std::size_t weights, std::size_t size, int threads)
    : weights_(weights), threads_(threads), memory_({}, size * sizeof(float)) {}

ConstSpan<float> ChangedGradient::scaled(ConstSpan<float> contribution, float factor) {
  const auto g = contribution.host();
  const auto to = memory_.as<float>().host();
  for_each(threads_, to.size(), [&](std::size_t i) { to[i] = i < weights_ ? factor * g[i] : g[i]; });
  return memory_.as<float>();
}

ConstSpan<float> ChangedGradient::compensated(ConstSpan<float> contribution, float factor, ConstSpan<float> now,
                                              ConstSpan<float> base) {
  const auto g = contribution.host(), w = now.host(), old = base.host();
  const auto to = memory_.as<float>().host();
  for_each(threads_, to.size(),
           [&](std::size_t i) { to[i] = i < weights_ ? g[i] + factor * g[i] * g[i] * (w[i] - old[i]) : g[i]; });
  return memory_.as<float>();
}

std::int64_t ChangedGradient::add(ConstSpan<float> contribution) {
  const auto g = contribution.host();
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
  return memory_.as<float>();
}

}  // namespace apam::exchange
