// Sums over blocks in one launch. Each block writes its part to memory and counts itself; the last one, whichever it is, reads
// all parts and adds them in the order of their places. So the result does not depend on the order in which blocks end, and no
// block waits for another.
//
// Many parts would keep one block busy for long. They are therefore joined in two levels: parts in groups of about their square
// root, each by the last block of the group, then the groups by the last of these.
#pragma once

#include <cstdint>

#include "kernels/runtime/exec.h"

#include <simt/macros.h>
#include <simt/shared.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

/// Parts 0 .. count-1 in groups of `per_group`, of which the last may be smaller.
struct PartGroups {
  int count = 1, per_group = 1;

  static constexpr PartGroups of(int count) {
    constexpr int kFew = 8;  // one block reads them as soon as two
    if (count <= kFew) return {count, count};
    int root = 1;
    while (root * root < count) ++root;
    return {count, root};
  }
  constexpr int groups() const { return (count + per_group - 1) / per_group; }
  /// Counters of one sum: one per group, and one of groups.
  constexpr int counters() const { return groups() + 1; }
};

/// Places of parts: begin, begin + step, ... below end.
struct PartRange {
  int begin, end, step;
};

/// Whether this block is the last of `count` that ask with this counter; then it sees what all of them wrote before. The
/// counter is zero before the first and after the last. `scratch` may be used again at once.
DEVICE bool is_last(std::uint32_t* counter, int count, Shared<int> scratch) {
  sync_block();
  if (thread() == 0) {
    fence_grid();
    const auto last = static_cast<std::uint32_t>(count - 1);
    scratch[0] = count_up(counter, last) == last ? 1 : 0;
    fence_grid();
  }
  sync_block();
  const int found = scratch[0];
  sync_block();
  return found != 0;
}

/// Joins the parts of a sum, of which this block has written part `part`. Calls join(range, is_all) in the last block of each
/// group, with the group's parts, and in the last of these with the first part of each group: join puts the sum of a range in
/// the place of its first part, or, if it is that of all, where it is needed. `counters` (parts.counters()) belong to this sum
/// only.
template <class Join>
DEVICE void join_parts(const PartGroups& parts, int part, std::uint32_t* counters, Shared<int> scratch, const Join& join) {
  const int group = part / parts.per_group, begin = group * parts.per_group;
  const int end = begin + parts.per_group < parts.count ? begin + parts.per_group : parts.count;
  PartRange range{begin, end, 1};
  std::uint32_t* counter = counters + group;
  int count = end - begin;
  bool is_all = parts.groups() == 1;
  while (is_last(counter, count, scratch)) {
    join(range, is_all);
    if (is_all) return;
    range = {0, parts.count, parts.per_group};
    counter = counters + parts.groups();
    count = parts.groups();
    is_all = true;
  }
}

/// Counters of a kernel's sums, zero between its launches.
class Counters {
 public:
  Counters() = default;
  Counters(const Exec& exec, std::int64_t count)
      : memory_(exec.device(), static_cast<std::size_t>(count) * sizeof(std::uint32_t)) {
    zero(Span<std::int32_t>(reinterpret_cast<std::int32_t*>(memory_.data()), static_cast<std::size_t>(count), exec.device()));
  }
  std::uint32_t* data() const { return reinterpret_cast<std::uint32_t*>(memory_.data()); }

 private:
  Buffer memory_;
};

}  // namespace apam::kernels::cuda
