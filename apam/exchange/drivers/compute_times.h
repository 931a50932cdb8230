// The compute times of all gradients of a simulation, pure functions of seed, worker and number.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "apam/exchange/drivers/simulator.h"
#include "kernels/runtime/philox.h"

namespace apam::exchange {

/// The options must outlive it.
class ComputeTimes {
 public:
  explicit ComputeTimes(const SimulationOptions& options) : options_(options) {}

  double next(int worker) {
    const ComputeTime& compute = options_.compute;
    const auto w = static_cast<std::size_t>(worker);
    const Random random(options_.seed, Purpose::sample, static_cast<std::uint64_t>(worker));
    const std::uint64_t i = numbers_.at(w)++;
    double time = compute.mean;
    if (compute.distribution == ComputeTime::Distribution::uniform) {
      time *= 1 + compute.spread * (2.0 * static_cast<double>(random.uniform(i)) - 1);
    } else if (compute.distribution == ComputeTime::Distribution::lognormal) {
      const double sigma = compute.spread;
      time *= std::exp(sigma * static_cast<double>(random.normal(i)) - 0.5 * sigma * sigma);
    }
    return time * (w < options_.slowdown.size() ? options_.slowdown[w] : 1.0);
  }

 private:
  const SimulationOptions& options_;
  std::vector<std::uint64_t> numbers_ = std::vector<std::uint64_t>(static_cast<std::size_t>(options_.workers));
};

}  // namespace apam::exchange
