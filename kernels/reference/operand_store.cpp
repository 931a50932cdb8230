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

// Of an operand on a GPU that is larger, this many elements are written by the host; the GPU repeats them. A prime number, so
// that no channel or image meets its own copy at the same place of another one.
constexpr std::size_t kFromHost = 262'147;

/// Calls fill(part) for the part of an operand that the host writes, and repeats it in the rest.
template <class Fill>
void fill_by_repeating(Out values, const Fill& fill) {
  const bool on_gpu = values.device().kind == DeviceKind::cuda;
  std::size_t filled = on_gpu ? std::min(values.size(), kFromHost) : values.size();
  fill(Out(values.bytes(), filled, values.type(), values.device()));
  const std::size_t element = size_of(values.type());
  while (filled < values.size()) {
    const std::size_t next = std::min(filled, values.size() - filled);
    copy_bytes(values.bytes() + filled * element, values.device(), values.bytes(), values.device(), next * element);
    filled += next;
  }
}

}  // namespace

OnHost::OnHost(Out operand) : operand_(operand) {
  if (operand.device().kind == DeviceKind::cpu && operand.type() == DType::float32) {
    values_ = operand.as<float>("sample").host();
    return;
  }
  copied_.resize(operand.size());
  values_ = copied_;
  if (operand.type() == DType::float32) {
    copy(operand, Span<float>(values_));
  } else {
    std::vector<BFloat16> bits(operand.size());
    copy(operand, Span<BFloat16>(std::span(bits)));
    std::copy(bits.begin(), bits.end(), copied_.begin());
  }
}

void OnHost::put_back() const {
  if (!copied_.empty()) write_values(copied_, operand_);
}

void write_values(std::span<const float> values, Out operand) {
  if (operand.type() == DType::float32) {
    copy(ConstSpan<float>(values), operand);
  } else {
    std::vector<BFloat16> bits;
    bits.reserve(values.size());
    for (const float value : values) bits.emplace_back(value);
    copy(ConstSpan<BFloat16>(std::span<const BFloat16>(bits)), operand);
  }
}

std::vector<double> doubles(In values) {
  // Not written to: OnHost takes an operand that may be.
  OnHost host(Out(const_cast<std::byte*>(values.bytes()), values.size(), values.type(), values.device()));
  return {host.values().begin(), host.values().end()};
}

std::vector<double> weight_doubles(ConstSpan<float> weights, DType activations) {
  std::vector<double> values = doubles(weights);
  if (activations == DType::bfloat16) {
    for (double& value : values) value = BFloat16(static_cast<float>(value));
  }
  return values;
}

OperandStore::OperandStore(Exec& exec, std::uint64_t seed, std::unique_ptr<OperandMemory> memory, DType activations)
    : device_(exec.device()),
      activations_(activations),
      threads_(exec.threads()),
      seed_(seed),
      memory_(std::move(memory)),
      normals_(kPieceStarts + kPiece) {
  const Random random(seed_, Purpose::sample, streams_++);
  for (std::size_t i = 0; i < normals_.size(); ++i) normals_[i] = random.normal(i);
}

Out OperandStore::allocate(std::size_t size, DType type) {
  return {memory_->allocate(size * size_of(type)), size, type, device_};
}

Out OperandStore::unwritten_of(DType type, std::size_t size) {
  const Out values = allocate(size, type);
  make_unwritten(values);
  return values;
}

Out OperandStore::normal_of(DType type, std::size_t size, double deviation, double mean) {
  const Out values = allocate(size, type);
  draw_normal(values, deviation, mean);
  return values;
}

Span<float> OperandStore::copy_of(ConstSpan<float> values) {
  const Out copied = allocate(values.size(), DType::float32);
  copy(values, copied);
  return copied.as<float>("sample");
}

template <class T>
ConstSpan<T> OperandStore::whole_numbers(std::size_t size, int bound) {
  const Random random(seed_, Purpose::sample, streams_++);
  std::vector<T> drawn(size);
  for (std::size_t i = 0; i < size; ++i) drawn[i] = static_cast<T>(random.below(static_cast<std::uint32_t>(bound), i));
  auto* inside = reinterpret_cast<T*>(memory_->allocate(size * sizeof(T)));
  copy_bytes(inside, device_, drawn.data(), Device{}, size * sizeof(T));
  return {inside, size, device_};
}

Labels OperandStore::labels(std::size_t size, int classes) { return whole_numbers<std::int32_t>(size, classes); }

ConstSpan<std::uint8_t> OperandStore::bytes(std::size_t size) { return whole_numbers<std::uint8_t>(size, 256); }

void OperandStore::make_unwritten(Out values) const {
  fill_by_repeating(values,
                    [&](Out part) { edit(part, [](float, std::size_t) { return std::numeric_limits<float>::quiet_NaN(); }); });
}

void OperandStore::draw_normal(Out values, double deviation, double mean) {
  const Random random(seed_, Purpose::sample, streams_++);
  const auto scale = static_cast<float>(deviation);
  const auto shift = static_cast<float>(mean);
  fill_by_repeating(values, [&](Out part) {
    OnHost host(part);
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
  });
}

}  // namespace apam::kernels
