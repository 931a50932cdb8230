// A transport whose order of arrival is data: for tests that know beforehand what every update is computed from.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "apam/exchange/transport.h"
#include "apam/exchange/worker.h"

namespace apam::exchange {

/// The workers live inside, in the master's thread. The i-th wait_some() returns the gradients of the workers that
/// arrivals[i] lists, each computed on the weights that this worker was given last.
class ScriptedTransport final : public MasterTransport {
 public:
  /// One source a worker; they must outlive the transport.
  ScriptedTransport(std::span<GradientSource* const> sources, std::vector<std::vector<int>> arrivals);

  int workers() const override { return static_cast<int>(workers_.size()); }
  std::string_view name() const override { return "scripted"; }

  /// Throws InputError when the script has ended, or names a worker that is unknown, has stopped, or waits for an answer.
  std::span<const GradientMessage> wait_some() override;

  /// Throws ExchangeError when the worker waits for none.
  void reply(int worker, const Reply& reply, In weights) override;

  /// Throws InputError when arrivals are left in the script.
  void finish() override;

 private:
  enum class Phase : std::uint8_t { waiting, working, stopped };
  struct WorkerState {
    GradientSource* source;
    Worker worker;
    Phase phase = Phase::waiting;  // for its first weights
  };

  std::vector<WorkerState> workers_;
  std::deque<std::vector<int>> arrivals_;
  std::vector<GradientMessage> messages_;
};

}  // namespace apam::exchange
