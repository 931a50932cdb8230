#include "kernels/reference/operand_store.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "kernels/runtime/philox.h"

namespace apam::kernels {
namespace {

// A quiet NaN with a payload of its own. Read past an operand, it spoils the result; written over, it is missed. It fills
// outputs as well.
constexpr std::uint32_t kFenceWord = 0x7fedface;
constexpr std::size_t kFenceWords = 64;  // 256 bytes on each side keep the operand aligned to 64
constexpr std::size_t kFenceBytes = kFenceWords * sizeof(std::uint32_t);
using Fence = std::array<std::uint32_t, kFenceWords>;

constexpr Fence build_fence() {
  Fence fence{};
  fence.fill(kFenceWord);
  return fence;
}
constexpr Fence kFence = build_fence();

// Drawing 10 million normal numbers takes a second; copying random pieces of a pool of them takes milliseconds and serves
// as well, since no kernel treats one element differently from another.
constexpr std::size_t kPiece = 256;
constexpr std::size_t kPieceStarts = 16384;

}  // namespace

OnHost::OnHost(Out operand) : operand_(operand) {
  if (operand.device().kind == DeviceKind::cpu) return;
  copied_.resize(operand.size());
  copy(operand, Out(copied_.data(), copied_.size()));
}

void OnHost::put_back() const {
  if (!copied_.empty()) copy(In(copied_.data(), copied_.size()), operand_);
}

std::vector<double> doubles(In values) {
  std::vector<float> host(values.size());
  copy(values, Out(host.data(), host.size()));
  return {host.begin(), host.end()};
}

std::vector<bool> extremes(In values) {
  constexpr double kLargestFactor = 0x1p63;
  std::vector<bool> marks;
  marks.reserve(values.size());
  for (const double value : doubles(values)) marks.push_back(!(std::abs(value) <= kLargestFactor));
  return marks;
}

void mark(std::vector<bool>& marks, const std::vector<bool>& more) {
  for (std::size_t e = 0; e < marks.size(); ++e) marks[e] = marks[e] || more[e];
}

OperandStore::OperandStore(Exec& exec, std::uint64_t seed)
    : device_(exec.device()), threads_(exec.threads()), seed_(seed), normals_(kPieceStarts + kPiece) {
  const Random random(seed_, Purpose::trial, streams_++);
  for (std::size_t i = 0; i < normals_.size(); ++i) normals_[i] = random.normal(i);
}

std::byte* OperandStore::fenced(std::size_t bytes) {
  auto& operand = operands_.emplace_back(Fenced{Buffer(device_, bytes + 2 * kFenceBytes), bytes});
  std::byte* inside = operand.buffer.data() + kFenceBytes;
  copy_bytes(operand.buffer.data(), device_, kFence.data(), Device{}, kFenceBytes);
  copy_bytes(inside + bytes, device_, kFence.data(), Device{}, kFenceBytes);
  return inside;
}

bool OperandStore::fences_intact() const {
  return std::all_of(operands_.begin(), operands_.end(), [&](const Fenced& operand) {
    Fence before{}, after{};
    copy_bytes(before.data(), Device{}, operand.buffer.data(), device_, kFenceBytes);
    copy_bytes(after.data(), Device{}, operand.buffer.data() + kFenceBytes + operand.bytes, device_, kFenceBytes);
    return before == kFence && after == kFence;
  });
}

Out OperandStore::unwritten(std::size_t size) {
  const Out values(reinterpret_cast<float*>(fenced(size * sizeof(float))), size, device_);
  make_unwritten(values);
  return values;
}

Out OperandStore::normal(std::size_t size, double deviation, double mean) {
  const Out values(reinterpret_cast<float*>(fenced(size * sizeof(float))), size, device_);
  draw_normal(values, deviation, mean);
  return values;
}

Labels OperandStore::labels(std::size_t size, int classes) {
  const Random random(seed_, Purpose::trial, streams_++);
  std::vector<std::int32_t> drawn(size);
  for (std::size_t i = 0; i < size; ++i)
    drawn[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(classes), i));
  auto* inside = reinterpret_cast<std::int32_t*>(fenced(size * sizeof(std::int32_t)));
  copy_bytes(inside, device_, drawn.data(), Device{}, size * sizeof(std::int32_t));
  return {inside, size, device_};
}

void OperandStore::make_unwritten(Out values) const {
  edit(values, [](float, std::size_t) { return std::bit_cast<float>(kFenceWord); });
}

void OperandStore::draw_normal(Out values, double deviation, double mean) {
  const Random random(seed_, Purpose::trial, streams_++);
  const auto scale = static_cast<float>(deviation);
  const auto shift = static_cast<float>(mean);
  OnHost host(values);
  const auto elements = host.values();
  const auto pieces = static_cast<std::int64_t>((elements.size() + kPiece - 1) / kPiece);
  parallel_for(threads_, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto piece = static_cast<std::size_t>(begin); piece < static_cast<std::size_t>(end); ++piece) {
      const float* from = normals_.data() + random.below(kPieceStarts, piece);  // (kPiece)
      const auto to = elements.subspan(piece * kPiece, std::min(kPiece, elements.size() - piece * kPiece));
      for (std::size_t i = 0; i < to.size(); ++i) to[i] = shift + scale * from[i];
    }
  });
  host.put_back();
}

}  // namespace apam::kernels
