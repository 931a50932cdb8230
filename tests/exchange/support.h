// For the tests of the exchange: an observer that keeps all events, a model with its updater, and comparisons.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "apam/exchange/control.h"
#include "apam/exchange/master_state.h"
#include "apam/exchange/observer.h"
#include "engine/optim/updater.h"
#include "tests/exchange/quadratic_source.h"

namespace apam::exchange::test {

/// The model of tests that need no other.
inline const QuadraticOptions kModel{.sizes = {33, 5, 70}, .channels = 3, .rows = 6, .spread = 1.5F};

class Recorder final : public Observer {
 public:
  void on_update(const UpdateRecord& record) override {
    records.push_back(record);
    if (then) then(record);
  }
  void on_snapshot(const StateSnapshot& snapshot) override {
    snapshots.push_back(snapshot.update);
    versions.push_back(snapshot.versions);
    states.emplace_back(snapshot.state.host().begin(), snapshot.state.host().end());
  }

  void on_departure(const Departure& departure, double /*at*/) override {
    departures.push_back(fmt::format("{}: {}", departure.worker, departure.why));
  }

  std::vector<std::int64_t> staleness() const;
  std::vector<int> workers() const;              // whose gradient each update was
  std::vector<std::int64_t> batches() const;     // the batch of each update
  std::vector<std::vector<int>> passes() const;  // the workers of each pass

  std::vector<UpdateRecord> records;
  std::vector<std::int64_t> snapshots;
  std::vector<std::vector<std::int64_t>> versions;  // of each snapshot, by master
  std::vector<std::string> departures;              // "worker: why"
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
/// SGD with momentum; `nesterov`: Nesterov's.
engine::OptimizerOptions momentum(double learning_rate, double momentum, bool nesterov = false);

std::vector<float> values(ConstSpan<float> span);

/// A history for `workers` workers.
HistoryLayout history_layout(const QuadraticOptions& quadratic, int workers);

/// A master's model with initial weights: version 0 of its history.
struct Model {
  Model(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, int workers = 6);
  Model(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, const HistoryLayout& layout);

  /// The newest state.
  std::vector<float> state() const { return values(history.current().state()); }

  Exec exec = plain_exec();
  engine::ParameterArena arena;
  engine::Updater updater;
  WeightHistory history;
};

/// The master, driven by a test: keeps the latest reply to each worker, and tells an observer.
class HandDriven final : public MasterTransport {
 public:
  HandDriven(MasterState& master, Observer& observer) : master_(master), observer_(observer) {}

  /// Actions of these events, carried out.
  void on(std::span<const Event> events, double at = 0);
  Reply join(int worker);                                               ///< the reply to it
  Reply take(const GradientMessage& message, double at = 0);            ///< the reply to its worker
  bool answered(int worker) const { return latest_.contains(worker); }  ///< by the latest on()
  const Delivery& latest(int worker) const { return latest_.at(worker); }

  int workers() const override { return master_.workers(); }
  std::string_view name() const override { return "test"; }
  std::span<const GradientMessage> poll(Duration /*timeout*/) override { return {}; }
  void send(int worker, const Reply& reply, const VersionRef& version) override;
  void cancel(int worker, std::int64_t /*computed_at*/) override { cancelled_.push_back(worker); }
  void finish() override {}

  const std::vector<int>& cancelled() const { return cancelled_; }  ///< by the latest on()

 private:
  MasterState& master_;
  Observer& observer_;
  std::map<int, Delivery> latest_;
  std::vector<int> cancelled_;
};

/// One source per worker, each with its own delay.
std::vector<std::unique_ptr<QuadraticSource>> make_sources(QuadraticOptions options,
                                                           const std::vector<std::chrono::milliseconds>& delays);
std::vector<GradientSource*> pointers(const std::vector<std::unique_ptr<QuadraticSource>>& sources);

/// The final state of local training.
std::vector<float> train_direct(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
                                const Schedule& schedule, Recorder& recorder);

/// Whether workers wait for each reply or compute ahead (worker.h).
enum class Between : bool { wait, compute_ahead };

/// The other weights and contribution of a worker that computes ahead.
engine::ParameterArena make_second(const QuadraticOptions& quadratic);

/// The state after gradients of these workers in these passes. Every transport must reproduce its bits.
std::vector<float> replay(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, int workers,
                          const std::vector<std::vector<int>>& passes, Between between = Between::wait,
                          const StalenessPolicy* policy = nullptr);

/// Laws of asynchronous training at any speeds: every batch once, versions in order, and bounds of the mean staleness (derived
/// in support.cpp).
void expect_lawful(const Recorder& recorder, const Staleness& staleness, int workers, std::int64_t updates,
                   Between between = Between::wait);

}  // namespace apam::exchange::test
