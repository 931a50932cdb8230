// For the tests of the exchange: an observer that keeps all events, a model with its updater, and comparisons.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "apam/exchange/control.h"
#include "apam/exchange/master.h"
#include "apam/exchange/observer.h"
#include "engine/optim/updater.h"
#include "tests/exchange/quadratic_source.h"

namespace apam::exchange::test {

class Recorder final : public Observer {
 public:
  void on_update(const UpdateRecord& record) override {
    records.push_back(record);
    if (then) then(record);
  }
  void on_snapshot(std::int64_t update, double /*at*/, ConstSpan<float> state) override {
    snapshots.push_back(update);
    states.emplace_back(state.host().begin(), state.host().end());
  }

  std::vector<std::int64_t> staleness() const;
  std::vector<int> workers() const;           // whose gradient each update was
  std::vector<std::int64_t> batches() const;  // the batch of each update

  std::vector<UpdateRecord> records;
  std::vector<std::int64_t> snapshots;
  std::vector<std::vector<float>> states;
  std::function<void(const UpdateRecord&)> then;  // called after a record is kept
};

/// Time and signal are set by the test.
class ScriptedControl final : public Control {
 public:
  double now() override { return time; }
  int stop_signal() override { return signal; }

  double time = 0;
  std::atomic<int> signal = 0;
};

/// The naive kernels in one thread: the same bits in every run.
Exec plain_exec();

engine::OptimizerOptions sgd(double learning_rate);
engine::OptimizerOptions amsgrad(double learning_rate);

/// A master's model: only the state, with initial weights.
struct Model {
  Model(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options);

  Exec exec = plain_exec();
  engine::ParameterArena arena;
  engine::Updater updater;
};

/// One source per worker, each with its own delay.
std::vector<std::unique_ptr<QuadraticSource>> make_sources(QuadraticOptions options,
                                                           const std::vector<std::chrono::milliseconds>& delays);
std::vector<GradientSource*> pointers(const std::vector<std::unique_ptr<QuadraticSource>>& sources);

std::vector<float> values(ConstSpan<float> span);

/// The final state of local training.
std::vector<float> train_direct(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
                                const Schedule& schedule, Recorder& recorder);

/// The state after gradients of these workers in this order. Every transport must reproduce its bits.
std::vector<float> replay(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, int workers,
                          const std::vector<int>& arrivals);

/// Laws of asynchronous training at any speeds: every batch once, versions in order, and bounds of the mean staleness (derived
/// in support.cpp).
void expect_lawful(const Recorder& recorder, const Staleness& staleness, int workers, std::int64_t updates);

}  // namespace apam::exchange::test
