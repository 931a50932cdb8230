// Tells polls of messages that move values from those that find nothing, by their processor time. Only for this folder.
//
// A poll that finds nothing takes a few microseconds, more on a slow machine; one that copies a segment takes much longer. A
// single costly one may have been interrupted. Two that follow one another have moved values.
#pragma once

#include <algorithm>
#include <utility>

namespace apam::exchange::mpi {

class MovingPolls {
 public:
  /// After a poll of `seconds` of processor time.
  void add(double seconds) {
    cheapest_ = std::min(cheapest_, seconds);
    const bool before = std::exchange(costly_, seconds >= std::max(kCostly, kTimesCheapest * cheapest_));
    moved_ = costly_ && before;
  }

  /// The latest poll may have moved values: the next one should follow at once.
  bool may_move() const { return costly_; }
  /// It has.
  bool moved() const { return moved_; }

 private:
  static constexpr double kCostly = 25e-6, kTimesCheapest = 4;

  double cheapest_ = kCostly;
  bool costly_ = false, moved_ = false;
};

}  // namespace apam::exchange::mpi
