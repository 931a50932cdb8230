// The log of sharded masters: what the sequencer decides, and every shard executes on its range. Plain data: it crosses
// processes as bytes. Contributions are named by their workers, versions by their slots (weight_history.h).
//
//   apply   version in slot `to` = version in slot `from`, updated by `count` contributions in order
//   add     a contribution is added to the mean of a later apply
//   stop    the last entry
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "apam/exchange/control.h"
#include "engine/optim/updater.h"

namespace apam::exchange {

/// The order of updates of sharded masters is that of
enum class Order : std::uint8_t {
  sequenced,  ///< master 0; the others repeat its passes, so that the result is that of one master
  free,       ///< each master for its range: gradients are applied there in the order in which they arrive there (free_shard.h)
};

/// What a policy makes of the contribution of a pass before the optimizer sees it (policies/changed_gradient.h).
struct GradientChange {
  enum class Kind : std::uint8_t {
    none,
    scaled,       ///< factor * g
    compensated,  ///< g + factor * g g (w_from - w_base)
    mean,         ///< of the contributions that were added; the pass names none itself
  };
  Kind kind = Kind::none;
  std::int32_t base = -1;  ///< slot of the version that a compensated gradient was computed on
  float factor = 1;
};

struct ShardPass {
  static constexpr int kMost = engine::Optimizer::kMostGradients;
  enum class Kind : std::uint8_t { apply, add, stop };

  Kind kind = Kind::apply;
  std::int32_t count = 0;                     ///< updates of the pass, 1 to kMost; a changed gradient is a pass of its own
  std::int32_t from = -1, to = -1;            ///< slots
  std::array<std::int32_t, kMost> workers{};  ///< whose contributions; of an add the first
  std::array<double, kMost> steps{};          ///< factors of the learning rate
  GradientChange change{};
};

/// The first value that a shard has found not to be finite.
struct ShardFinding : engine::NonFinite {
  int worker = -1;  ///< whose gradient it was; -1: that of the update in the log
};

/// The other shards, as the sequencer sees them. One entry at a time is being executed. With Order::free only a stop is an
/// entry.
class ShardFollowers {
 public:
  virtual ~ShardFollowers() = default;

  /// Gives an entry to all shards. Does not wait for them.
  virtual void post(const ShardPass& pass) = 0;

  /// Waits until all shards have executed the entry, which is no stop; with Order::free for nothing. The first value that any
  /// of them has found not to be finite so far, lowest range first. Throws ExchangeError if one has ended.
  virtual std::optional<ShardFinding> finish() = 0;

  /// A signal that one of their processes got; 0: none. The sequencer looks for it (ControlOfMasters).
  virtual int signal() const { return 0; }

  /// Brings the ranges of all shards in a version to the memory of the sequencer, if that is not theirs. Once per version. With
  /// Order::free a shard's newest version, once it is `version` or later.
  virtual void collect(int /*slot*/, std::int64_t /*version*/) {}

  /// Order::free: the versions that were collected last, by shard.
  virtual std::vector<std::int64_t> versions() const { return {}; }
  /// Order::free: the mean staleness of the updates up to these versions or later, by shard.
  virtual std::vector<double> staleness() const { return {}; }
};

/// The sequencer's control: a signal to any master stops the run.
class ControlOfMasters final : public Control {
 public:
  ControlOfMasters(Control& own, const ShardFollowers& followers) : own_(own), followers_(followers) {}
  double now() override { return own_.now(); }
  int stop_signal() override {
    const int signal = own_.stop_signal();
    return signal != 0 ? signal : followers_.signal();
  }

 private:
  Control& own_;
  const ShardFollowers& followers_;
};

}  // namespace apam::exchange
