#include "kernels/cuda/emulator/warp_products.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace apam::kernels::cuda::emulator {
namespace {

constexpr int kDepth = 16, kRows = 16, kPack = 8, kLanes = 32;
constexpr std::uint32_t kLine = 128, kChunk = 16;

/// A descriptor, decoded. Distances in bytes.
struct Operand {
  std::uint32_t start, leading, stride;
  bool by_depth;

  Operand(std::uint64_t descriptor, bool depth_major)
      : start(field(descriptor, 0)), leading(field(descriptor, 16)), stride(field(descriptor, 32)), by_depth(depth_major) {}
  /// Of the 16 bytes that begin at this element.
  std::uint32_t address(int row, int depth) const {
    const auto r = static_cast<std::uint32_t>(row), d = static_cast<std::uint32_t>(depth);
    const std::uint32_t at = by_depth ? start + r / 64 * leading + d / 8 * stride + d % 8 * kLine + r % 64 * 2
                                      : start + r / 8 * stride + r % 8 * kLine + d * 2;
    return at ^ (at >> 7U & 7U) << 4U;
  }

 private:
  static std::uint32_t field(std::uint64_t descriptor, int at) {
    return static_cast<std::uint32_t>(descriptor >> at & 0x3FFFU) << 4U;
  }
};

/// Throws Stop unless the operand is one that is known here.
void require_known(std::uint64_t descriptor, const Site& site) {
  constexpr std::uint64_t kSwizzle128 = 1;
  const std::uint64_t swizzle = descriptor >> 62U, base = descriptor >> 49U & 7U;
  if (swizzle != kSwizzle128) {
    throw Stop{fmt::format("wgmma at {}: swizzle {} of a descriptor, expected {}", name_of(site), swizzle, kSwizzle128)};
  }
  if (base != 0) throw Stop{fmt::format("wgmma at {}: base offset {} of a descriptor, expected 0", name_of(site), base)};
}

/// visit(address, row, depth) for each 16 bytes of rows first .. first + count - 1.
template <class Visit>
void for_operand(const Operand& operand, int first, int count, const Visit& visit) {
  const int row_step = operand.by_depth ? kPack : 1, depth_step = operand.by_depth ? 1 : kPack;
  for (int row = first; row < first + count; row += row_step) {
    for (int depth = 0; depth < kDepth; depth += depth_step) visit(operand.address(row, depth), row - first, depth);
  }
}

float number(const std::byte* element) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, element, 2);
  return std::bit_cast<float>(std::uint32_t{bits} << 16U);
}

/// The row and column of sum i of a lane, in the 16 rows of its warp.
int row_of(int lane, int i) { return lane / 4 + 8 * (i / 2 % 2); }
int column_of(int lane, int i) { return 8 * (i / 4) + 2 * (lane % 4) + i % 2; }

const std::uint32_t kInFlight = std::bit_cast<std::uint32_t>(std::numeric_limits<float>::quiet_NaN());

}  // namespace

void GroupProducts::agree(std::size_t index, const Product& product, const Site& site) {
  if (index == issued_.size()) return issued_.push_back(product);
  if (issued_[index] != product) {
    throw Stop{fmt::format("wgmma at {}: the warps of a warpgroup issue different products", name_of(site))};
  }
}

template <class A, class B>
void WarpProducts::for_chunks(const Product& product, const A& visit_a, const B& visit_b) const {
  for_operand(Operand(product.a, product.a_by_depth), warp_ % 4 * kRows, kRows, visit_a);
  for_operand(Operand(product.b, product.b_by_depth), 0, product.columns, visit_b);
}

void WarpProducts::issue(SharedMemory& memory, int thread, const Product& product, const std::array<float*, 32>& sums,
                         const Site& site) {
  require_known(product.a, site);
  require_known(product.b, site);
  group_->agree(issued_++, product, site);
  if (!fenced_) memory.find(fmt::format("wgmma at {} without a wgmma_fence since the last wait", name_of(site)));
  std::uint16_t number = 0;
  const auto read = [&](std::uint32_t at, int, int) { number = memory.begin_product(thread, at, kChunk, site); };
  for_chunks(product, read, read);
  const auto in_flight = sums_of(sums, product.columns, site);
  ++in_flight->products;
  open_.push_back({product, in_flight, number});
}

std::shared_ptr<WarpProducts::Sums> WarpProducts::sums_of(const std::array<float*, 32>& registers, int columns,
                                                          const Site& site) {
  for (const auto& sums : in_flight_) {
    if (sums->registers == registers && sums->columns == columns) return sums;
  }
  auto sums = std::make_shared<Sums>();
  sums->registers = registers;
  sums->columns = columns;
  sums->site = site;
  const auto count = static_cast<std::size_t>(columns) / 2;
  for (float* lane : registers) {
    sums->values.insert(sums->values.end(), lane, lane + count);
    std::fill_n(lane, count, std::bit_cast<float>(kInFlight));
  }
  return in_flight_.emplace_back(std::move(sums));
}

void WarpProducts::commit() { groups_.push_back(std::exchange(open_, {})); }

void WarpProducts::wait(SharedMemory& memory, std::size_t groups_left) {
  fenced_ = false;
  for (; groups_.size() > groups_left; groups_.pop_front()) {
    for (const Pending& pending : groups_.front()) {
      multiply(memory, pending.product, *pending.sums);
      const auto done = [&](std::uint32_t at, int, int) { memory.end_product(warp_, at, kChunk, pending.site); };
      for_chunks(pending.product, done, done);
      if (--pending.sums->products > 0) continue;
      store(memory, *pending.sums);
      std::erase(in_flight_, pending.sums);
    }
  }
}

void WarpProducts::multiply(const SharedMemory& memory, const Product& product, Sums& sums) const {
  const int columns = product.columns;
  std::array<float, kRows * kDepth> left{};
  std::vector<float> right(static_cast<std::size_t>(kDepth) * columns), products(static_cast<std::size_t>(kRows) * columns);
  const auto load = [&](bool by_depth, std::uint32_t at, int row, int depth, const auto& element) {
    const std::byte* const from = memory.at(at);
    for (int e = 0; e < kPack; ++e) element(by_depth ? row + e : row, by_depth ? depth : depth + e) = number(from + 2 * e);
  };
  for_chunks(
      product,
      [&](std::uint32_t at, int row, int depth) {
        load(product.a_by_depth, at, row, depth, [&](int r, int d) -> float& { return left[r * kDepth + d]; });
      },
      [&](std::uint32_t at, int row, int depth) {
        load(product.b_by_depth, at, row, depth, [&](int r, int d) -> float& { return right[d * columns + r]; });
      });
  for (int depth = 0; depth < kDepth; ++depth) {  // the order in which the hardware adds, and how it rounds, are not documented
    for (int row = 0; row < kRows; ++row) {
      const float factor = left[row * kDepth + depth];
      for (int column = 0; column < columns; ++column)
        products[row * columns + column] += factor * right[depth * columns + column];
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < columns / 2; ++i) {
      sums.values[lane * (columns / 2) + i] += products[row_of(lane, i) * columns + column_of(lane, i)];
    }
  }
}

void WarpProducts::store(SharedMemory& memory, const Sums& sums) {
  const int count = sums.columns / 2;
  bool changed = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    float* const to = sums.registers[static_cast<std::size_t>(lane)];
    for (int i = 0; i < count; ++i) {
      changed = changed || std::bit_cast<std::uint32_t>(to[i]) != kInFlight;
      to[i] = sums.values[lane * count + i];
    }
  }
  if (changed) memory.find(fmt::format("sums of the wgmma at {} were changed before the wait", name_of(sums.site)));
}

}  // namespace apam::kernels::cuda::emulator
