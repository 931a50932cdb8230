#include "apam/exchange/shared/segment.h"

#include <algorithm>
#include <limits>
#include <new>

#include "apam/exchange/error.h"
#include "kernels/runtime/pages.h"

namespace apam::exchange::shared {
namespace {

constexpr std::uint64_t kSegmentMark = 0x6d61706178653032;  // changes with the layout of what is before the versions

static_assert(sizeof(Control) <= kPage && sizeof(Mailbox) == 256, "the formula in segment.h");
static_assert(sizeof(ShardLog) <= kPage && sizeof(ShardPage) <= kPage, "the formula in segment.h");
static_assert(std::is_trivially_copyable_v<GradientHeader> && std::is_trivially_copyable_v<Reply>);
static_assert(std::is_trivially_copyable_v<ShardPass>);

std::size_t mailbox_bytes(int workers) { return whole_pages(static_cast<std::size_t>(workers) * sizeof(Mailbox)); }

/// The log, then a page per follower.
std::size_t shard_bytes(int masters) { return masters > 1 ? static_cast<std::size_t>(masters) * kPage : 0; }

std::size_t contribution_bytes(const SegmentLayout& layout) {
  return layout.on_gpus ? 0 : whole_pages(layout.history.state() * sizeof(float));
}

}  // namespace

std::size_t SegmentLayout::bytes() const {
  require<InputError>(workers >= 1, "shared memory: there must be at least one worker, got {}", workers);
  require<InputError>(masters >= 1, "shared memory: there must be at least one master, got {}", masters);
  constexpr std::size_t kFloatsPerLine = 16;
  require<InputError>(history.weights % kFloatsPerLine == 0 && history.statistics % kFloatsPerLine == 0,
                      "shared memory: {} weights and {} statistics, expected multiples of {}", history.weights,
                      history.statistics, kFloatsPerLine);
  const std::size_t before = versions_offset() + versions_bytes();
  const std::size_t each = contribution_bytes(*this);
  require<DeviceError>(each <= (std::numeric_limits<std::size_t>::max() / 2 - before) / static_cast<std::size_t>(workers),
                       "shared memory: {} contributions of {} bytes are larger than any memory", workers, each);
  return contribution_offset(workers);
}

std::size_t SegmentLayout::gpu_bytes() const {
  return on_gpus ? history.bytes() + static_cast<std::size_t>(workers) * history.state() * sizeof(float) : 0;
}

std::size_t SegmentLayout::versions_offset() const { return kPage + mailbox_bytes(workers) + shard_bytes(masters); }

std::size_t SegmentLayout::versions_bytes() const { return on_gpus ? 0 : whole_pages(history.bytes()); }

std::size_t SegmentLayout::contribution_offset(int worker) const {
  return versions_offset() + versions_bytes() + static_cast<std::size_t>(worker) * contribution_bytes(*this);
}

Segment::Segment(std::span<std::byte> memory, const SegmentLayout& layout)
    : layout_(layout), memory_(memory.data()), control_(reinterpret_cast<Control*>(memory.data())) {
  require<InputError>(memory.size() == layout.bytes(), "shared memory: {} bytes for a segment of {}", memory.size(),
                      layout.bytes());
  const auto past = reinterpret_cast<std::uintptr_t>(memory.data()) % kPage;
  require<InputError>(past == 0, "shared memory: a segment {} bytes past a multiple of {}, expected 0", past, kPage);
}

Segment Segment::create(std::span<std::byte> memory, const SegmentLayout& layout) {
  Segment segment(memory, layout);
  auto* const control = new (segment.memory_) Control;
  for (int worker = 0; worker < layout.workers; ++worker) {
    new (segment.memory_ + kPage + static_cast<std::size_t>(worker) * sizeof(Mailbox)) Mailbox;
  }
  if (layout.masters > 1) new (segment.memory_ + kPage + mailbox_bytes(layout.workers)) ShardLog;
  for (int master = 1; master < layout.masters; ++master) new (static_cast<void*>(&segment.shard_page(master))) ShardPage;
  control->workers = layout.workers;
  control->masters = layout.masters;
  control->slots = layout.history.slots;
  control->weights = layout.history.weights;
  control->statistics = layout.history.statistics;
  control->magic = kSegmentMark;
  return segment;
}

Segment Segment::open(std::span<std::byte> memory, const SegmentLayout& layout) {
  Segment segment(memory, layout);
  const Control& control = segment.control();
  require<ExchangeError>(control.magic == kSegmentMark, "shared memory: a segment with mark {:x}, expected {:x}", control.magic,
                         kSegmentMark);
  require<ExchangeError>(control.masters == layout.masters, "shared memory: a segment for {} masters, expected {}",
                         control.masters, layout.masters);
  const bool same = control.workers == layout.workers && control.slots == layout.history.slots &&
                    control.weights == layout.history.weights && control.statistics == layout.history.statistics;
  require<ExchangeError>(
      same, "shared memory: a segment for {} workers and {} versions of {} + {} floats, expected {} and {} of {} + {}",
      control.workers, control.slots, control.weights, control.statistics, layout.workers, layout.history.slots,
      layout.history.weights, layout.history.statistics);
  return segment;
}

void Segment::use(GpuValues values) {
  require<InputError>(layout_.on_gpus && values.versions.size_bytes() == layout_.history.bytes() &&
                          values.contributions.size() == static_cast<std::size_t>(layout_.workers),
                      "shared memory: {} bytes of versions and {} contributions on GPUs, expected {} and {}",
                      values.versions.size_bytes(), values.contributions.size(), layout_.history.bytes(), layout_.workers);
  gpu_values_ = std::move(values);
}

Mailbox& Segment::mailbox(int worker) const {
  require<ExchangeError>(worker >= 0 && worker < layout_.workers, "shared memory: worker {} of {}", worker, layout_.workers);
  return *reinterpret_cast<Mailbox*>(memory_ + kPage + static_cast<std::size_t>(worker) * sizeof(Mailbox));
}

ShardLog& Segment::shard_log() const {
  require<ExchangeError>(layout_.masters > 1, "shared memory: a log of {} master, expected 2 or more", layout_.masters);
  return *reinterpret_cast<ShardLog*>(memory_ + kPage + mailbox_bytes(layout_.workers));
}

ShardPage& Segment::shard_page(int master) const {
  require<ExchangeError>(master >= 1 && master < layout_.masters, "shared memory: the page of master {} of {}", master,
                         layout_.masters);
  const std::size_t offset = kPage + mailbox_bytes(layout_.workers) + static_cast<std::size_t>(master) * kPage;
  return *reinterpret_cast<ShardPage*>(memory_ + offset);
}

Span<float> Segment::versions() const {
  if (layout_.on_gpus) return gpu_values_.versions;
  return {reinterpret_cast<float*>(memory_ + layout_.versions_offset()), layout_.history.bytes() / sizeof(float)};
}

ConstSpan<float> Segment::weights(int slot) const {
  require<ExchangeError>(slot >= 0 && slot < layout_.history.slots, "shared memory: weights in slot {} of {}", slot,
                         layout_.history.slots);
  return versions().subspan(static_cast<std::size_t>(slot) * layout_.history.state(), layout_.history.weights);
}

Span<float> Segment::contribution(int worker) const {
  require<ExchangeError>(worker >= 0 && worker < layout_.workers, "shared memory: the contribution of worker {} of {}", worker,
                         layout_.workers);
  if (layout_.on_gpus) return gpu_values_.contributions.at(static_cast<std::size_t>(worker));
  return {reinterpret_cast<float*>(memory_ + layout_.contribution_offset(worker)), layout_.history.state()};
}

void Segment::close(std::string_view reason) const {
  if (!control_->closing.close(reason)) return;
  futex::signal(control_->arrivals);
  for (int worker = 0; worker < layout_.workers; ++worker) futex::wake_all(mailbox(worker).replied);
  if (layout_.masters > 1) futex::wake_all(shard_log().posted);
  for (int master = 1; master < layout_.masters; ++master) futex::wake_all(shard_page(master).done);
}

void Segment::require_open() const { control_->closing.require_open(); }

}  // namespace apam::exchange::shared
