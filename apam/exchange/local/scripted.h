// A transport whose order of arrival is data, for tests.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "apam/exchange/transport.h"
#include "apam/exchange/worker.h"

namespace apam::exchange {

/// Runs the workers in the master's thread. The i-th poll() returns the gradients of the workers in arrivals[i], each
/// computed on the weights last sent to that worker, or by workers that compute ahead on those before.
class ScriptedTransport final : public MasterTransport {
 public:
  /// One source per worker; they must outlive the transport.
  ScriptedTransport(std::span<GradientSource* const> sources, std::vector<std::vector<int>> arrivals);

  /// Workers that compute ahead, each with its memory for a second contribution (worker.h).
  ScriptedTransport(std::span<GradientSource* const> sources, std::span<const Span<float>> seconds,
                    std::vector<std::vector<int>> arrivals);

  int workers() const override { return static_cast<int>(workers_.size()); }
  std::string_view name() const override { return "scripted"; }

  /// Throws InputError if the script has ended, or its next worker is unknown, has stopped, or waits for one.
  std::span<const GradientMessage> poll(Duration timeout) override;

  /// Throws ExchangeError if the worker does not wait for a reply.
  void send(int worker, const Reply& reply, const VersionRef& version) override;

  /// Throws InputError if arrivals are left in the script.
  void finish() override;

 private:
  enum class Phase : std::uint8_t { waiting, working, stopped };
  struct WorkerState {
    Worker worker;
    Phase phase = Phase::waiting;  // for its first weights
    VersionRef version{};          // that it computes on
  };

  std::vector<WorkerState> workers_;
  std::deque<std::vector<int>> arrivals_;
  std::vector<GradientMessage> messages_;
};

}  // namespace apam::exchange
