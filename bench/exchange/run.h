// What bench/exchange measures, the same for all modes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "apam/exchange/mpi/environment.h"
#include "engine/optim/updater.h"
#include "engine/parameters.h"

namespace apam::bench {

struct ExchangeSettings {
  std::int64_t parameters = 11'173'962;
  double compute_ms = 50;  ///< of a worker, per gradient: it sleeps
  std::int64_t updates = 100;
  int master_threads = 1;
  std::string wire = "float32";  ///< of pipelined messages
  int masters = 1;               ///< of all modes but serial
  bool free = false;             ///< masters order by themselves; of messages
};

/// Seconds of the master until the last update.
struct ServiceSeconds {
  double wait = 0;     ///< for a gradient
  double receive = 0;  ///< of gradients, once their first byte is there
  double update = 0;   ///< of the optimizer, with the bookkeeping around it
  double reply = 0;    ///< handing replies to the transport

  double service() const { return receive + update + reply; }
};

constexpr int kMostTogether = engine::Optimizer::kMostGradients;

struct ExchangeResult {
  std::string transport{};
  double seconds = 0;
  ServiceSeconds parts{};
  std::int64_t copied_bytes = 0;
  std::int64_t copied_during_updates = 0;  ///< of these, in messages that ended outside the master's calls of its transport
  std::array<std::int64_t, kMostTogether> passes{};  ///< [k - 1]: of k gradients
  double mean_staleness = 0;
  std::int64_t max_staleness = 0;
};

/// One vector of parameters.
inline engine::ParameterLayout flat_layout(std::int64_t parameters) {
  engine::ParameterLayout layout;
  layout.add("weights", engine::Shape{static_cast<int>(parameters)}, engine::Initializer::uniform(0.01F));
  return layout;
}

/// The same values at every step; of another sign for each worker, so that weights stay small.
inline void fill_gradient(int worker, Span<float> gradient) {
  const float sign = worker % 2 == 0 ? 1e-3F : -1e-3F;
  float value = -8;
  for (float& g : gradient.host()) {
    g = sign * value;
    value = value < 8 ? value + 1 : -8;
  }
}

inline double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Stands in for a program without this exchange: receive one gradient, one update, blocking reply, in one loop. Collective;
/// the result is rank 0's.
ExchangeResult run_serial(const exchange::mpi::Environment& environment, const ExchangeSettings& settings);

/// The exchange of training by pipelined messages, of workers that wait or prefetch weights, or through shared memory.
/// Collective; the result is rank 0's.
ExchangeResult run_pipelined(const exchange::mpi::Environment& environment, const ExchangeSettings& settings);
ExchangeResult run_prefetched(const exchange::mpi::Environment& environment, const ExchangeSettings& settings);
ExchangeResult run_shared(const exchange::mpi::Environment& environment, const ExchangeSettings& settings);

}  // namespace apam::bench
