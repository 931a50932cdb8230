#include "kernels/cuda/emulator/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/emulator/sanitizer.h"
#include "kernels/runtime/error.h"

namespace apam::kernels::cuda::emulator {
namespace {

constinit thread_local Block* current = nullptr;

/// Makes a block current for a scope.
class Current {
 public:
  explicit Current(Block& block) : before_(std::exchange(current, &block)) {}
  ~Current() { current = before_; }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  Block* before_;
};

}  // namespace

Block& current_block() {
  require<DeviceError>(current != nullptr, "emulator: a device function was called outside a kernel");
  return *current;
}

Block::Block(const Launch& launch, const Settings& settings, SharedMemory& memory, Report& report, std::mt19937& random)
    : launch_(launch),
      settings_(settings),
      memory_(memory),
      report_(report),
      random_(random),
      threads_(static_cast<std::size_t>(launch.threads)),
      warps_(threads_.size() / kWarp) {}

bool Block::run(const std::vector<Stack>& stacks, Extent place) {
  const Current scope(*this);
  place_ = place;
  ended_ = 0;
  memory_.reset(launch_.shared_bytes, static_cast<int>(warps_.size()), &report_, settings_.check_races);
  group_products_.assign((warps_.size() + 3) / 4, {});
  products_.clear();
  for (std::size_t i = 0; i < warps_.size(); ++i) products_.emplace_back(static_cast<int>(i), group_products_[i / 4]);
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    threads_[i].block = this;
    threads_[i].fenced = false;
    threads_[i].fiber.prepare(stacks[i], &Block::run_thread, &threads_[i]);
    ready_.push_back(static_cast<int>(i));
  }
  loads_.reset();
  while (!stopped_ && (!ready_.empty() || land_a_load())) {
    if (ready_.empty()) continue;
    running_ = next();
    running().fiber.resume();
  }
  if (!stopped_ && ended_ < launch_.threads) {
    report_deadlock();
    stopped_ = true;
  }
  if (!stopped_ && loads_.in_flight() > 0) memory_.find("a block ended before its loads did");
  return !stopped_;
}

void Block::run_thread(void* thread) {
  auto& self = *static_cast<Thread*>(thread);
  Block& block = *self.block;
  try {
    block.launch_.run(block.launch_.args);
    if (!self.open.empty() || !self.groups.empty()) block.memory_.find("a thread ended before its asynchronous copies did");
    if (!block.products().idle()) block.memory_.find("a thread ended before its wgmma did");
  } catch (const Stop& stop) {
    block.memory_.find(stop.why);
    block.stopped_ = true;
  }
  ++block.ended_;
}

int Block::next() {
  if (settings_.schedule == Schedule::random) std::swap(ready_.front(), ready_[random_() % ready_.size()]);
  const bool last = settings_.schedule == Schedule::hasty;
  const int thread = last ? ready_.back() : ready_.front();
  last ? ready_.pop_back() : ready_.pop_front();
  return thread;
}

/// False if no thread waits for one.
bool Block::land_a_load() {
  const std::size_t count = loads_.in_flight();
  if (count == 0 || ended_ == launch_.threads) return false;
  std::size_t index = 0;
  if (settings_.schedule == Schedule::random) index = random_() % count;
  if (settings_.schedule == Schedule::hasty) index = count - 1;
  loads_.land(memory_, index);
  wake_at_mbarriers();
  return true;
}

void Block::wait(const char* what, const Site& site) {
  Thread& self = running();
  self.waits_for = what;
  self.where = site;
  self.fiber.suspend();
  self.waits_for = nullptr;
}

void Block::report_deadlock() {
  std::map<std::string, int> waiting;
  for (const Thread& thread : threads_) {
    if (thread.waits_for != nullptr) ++waiting[fmt::format("{} at {}", thread.waits_for, name_of(thread.where))];
  }
  std::string what = "deadlock:";
  for (const auto& [where, count] : waiting) what += fmt::format(" {} threads wait for {},", count, where);
  memory_.find(fmt::format("{} {} have ended", what, ended_));
}

void Block::require_fence(const Site& site) {
  if (!running().fenced) memory_.find(fmt::format("the counter at {} is not preceded by a fence", name_of(site)));
}

void Block::meet_block(const Site& site) {
  running().fenced = false;
  at_barrier_.push_back(running_);
  if (at_barrier_.size() < threads_.size()) return wait("sync_block", site);
  memory_.pass_block_barrier();
  for (const int thread : at_barrier_) {
    if (thread != running_) ready_.push_back(thread);
  }
  at_barrier_.clear();
}

void Block::meet_warp(const char* name, void* mine, const Site& site, void (*act)(void*, const Lanes&), void* context) {
  Warp& warp = warps_[static_cast<std::size_t>(running_ / kWarp)];
  if (warp.arrived == 0) {
    warp.name = name;
    warp.where = site;
  }
  if (std::strcmp(warp.name, name) != 0) {
    throw Stop{
        fmt::format("lanes of one warp meet in {} at {} and {} at {}", warp.name, name_of(warp.where), name, name_of(site))};
  }
  warp.lanes[static_cast<std::size_t>(running_ % kWarp)] = mine;
  if (++warp.arrived < kWarp) return wait(name, site);
  warp.arrived = 0;
  act(context, warp.lanes);
  const int first = running_ / kWarp * kWarp;
  for (int thread = first; thread < first + kWarp; ++thread) {
    if (thread != running_) ready_.push_back(thread);
  }
}

void Block::arrive(SharedAddress barrier, int bytes, const Site& site) {
  loads_.arrive(memory_, running_, barrier, bytes, site);
  wake_at_mbarriers();
}

void Block::wait_mbarrier(SharedAddress barrier, int parity, const Site& site) {
  while (!loads_.passes(memory_, running_, barrier, parity, site)) {
    at_mbarriers_.push_back(running_);
    wait("an mbarrier", site);
  }
}

/// They look again whether their phase is complete.
void Block::wake_at_mbarriers() {
  ready_.insert(ready_.end(), at_mbarriers_.begin(), at_mbarriers_.end());
  at_mbarriers_.clear();
}

void Block::copy(SharedAddress to, const void* from, std::uint32_t bytes, std::uint32_t valid, const Site& site) {
  if (valid > 0 && reinterpret_cast<std::uintptr_t>(from) % bytes != 0) {
    throw Stop{fmt::format("the source of the copy at {} is not aligned to {} bytes", name_of(site), bytes)};
  }
  if (valid > 0 && !sanitizer::readable(from, valid)) {
    throw Stop{fmt::format("the copy at {} reads memory outside any array", name_of(site))};
  }
  const std::uint16_t number = memory_.begin_copy(running_, to, bytes, site);
  running().open.push_back({to, from, bytes, valid, number});
}

void Block::commit_copies() { running().groups.push_back(std::exchange(running().open, {})); }

void Block::wait_copies(std::size_t groups_left) {
  auto& groups = running().groups;
  for (; groups.size() > groups_left; groups.pop_front()) {
    for (const Copy& copy : groups.front()) memory_.land_copy(running_, copy.to, copy.from, copy.bytes, copy.valid, copy.site);
  }
}

}  // namespace apam::kernels::cuda::emulator
