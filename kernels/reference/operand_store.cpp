#include "kernels/reference/operand_store.h"

#include <algorithm>
#include <limits>

#include "kernels/runtime/philox.h"

namespace apam::kernels {
namespace {

// Drawing 10 million normal numbers takes a second. Copying random pieces of a pool takes milliseconds and serves as well,
// since no kernel treats one element differently from another.
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

OperandStore::OperandStore(Exec& exec, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
    : device_(exec.device()),
      threads_(exec.threads()),
      seed_(seed),
      memory_(std::move(memory)),
      normals_(kPieceStarts + kPiece) {
  const Random random(seed_, Purpose::sample, streams_++);
  for (std::size_t i = 0; i < normals_.size(); ++i) normals_[i] = random.normal(i);
}

Out OperandStore::floats(std::size_t size) {
  return {reinterpret_cast<float*>(memory_->allocate(size * sizeof(float))), size, device_};
}

Out OperandStore::unwritten(std::size_t size) {
  const Out values = floats(size);
  make_unwritten(values);
  return values;
}

Out OperandStore::normal(std::size_t size, double deviation, double mean) {
  const Out values = floats(size);
  draw_normal(values, deviation, mean);
  return values;
}

Out OperandStore::copy_of(In values) {
  const Out copied = floats(values.size());
  copy(values, copied);
  return copied;
}

Labels OperandStore::labels(std::size_t size, int classes) {
  const Random random(seed_, Purpose::sample, streams_++);
  std::vector<std::int32_t> drawn(size);
  for (std::size_t i = 0; i < size; ++i)
    drawn[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(classes), i));
  auto* inside = reinterpret_cast<std::int32_t*>(memory_->allocate(size * sizeof(std::int32_t)));
  copy_bytes(inside, device_, drawn.data(), Device{}, size * sizeof(std::int32_t));
  return {inside, size, device_};
}

void OperandStore::make_unwritten(Out values) const {
  edit(values, [](float, std::size_t) { return std::numeric_limits<float>::quiet_NaN(); });
}

void OperandStore::draw_normal(Out values, double deviation, double mean) {
  const Random random(seed_, Purpose::sample, streams_++);
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
