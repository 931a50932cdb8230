// wgmma against what the PTX manual says of it, written from the manual and CUTLASS's canonical layouts, not from the twin.
// Compiled for the emulator and, in builds with CUDA, for GPUs of compute capability 9.0: there it shows that the twins are
// right.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/wgmma_tile.h"
#include "tests/kernels/cuda/on_hopper.h"

#include <simt/launch.h>
#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

class Wgmma : public OnHopper {};

constexpr int kDepth = 64;

/// Where element (row, depth) of a tile with the swizzle of 128 bytes is, in elements. By row: atoms of 8 rows of 128 bytes. By
/// depth: atoms of 8 depths of 64 rows; the atoms of 64 depths, then the next 64 rows.
constexpr int place_of(bool by_depth, int row, int depth) {
  const int atom = by_depth ? row / 64 * (kDepth / 8) + depth / 8 : row / 8, line = by_depth ? depth % 8 : row % 8;
  const int within = by_depth ? row % 64 : depth;
  return atom * 512 + line * 64 + (within / 8 ^ line) * 8 + within % 8;
}

/// Stores a tile that is (rows, depth) in memory.
DEVICE void fill(Shared<BFloat16> tile, const BFloat16* from, int rows, bool by_depth, int threads) {
  for (int i = thread(); i < rows * kDepth; i += threads) tile[place_of(by_depth, i / kDepth, i % kDepth)] = from[i];
}

/// a (64 x 64) times b (columns x 64) transposed, by one warpgroup, in 4 instructions.
template <int columns, bool a_by_depth, bool b_by_depth>
struct Multiply {
  struct Args {
    float* out;             // (64, columns)
    const BFloat16 *a, *b;  // (64, 64), (columns, 64)
  };
  static constexpr int threads = 128, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = (64 + columns) * kDepth * 2;
  DEVICE static std::uint64_t operand(Shared<BFloat16> tile, bool by_depth, int step) {
    const Shared<BFloat16> first = tile + step * (by_depth ? 2 * 512 : 16);  // two atoms, or 32 bytes
    return by_depth ? wgmma_operand(address_in_block(first), 8192, 1024) : wgmma_operand(address_in_block(first), 16, 1024);
  }
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto a = shared.array<BFloat16>(0, 64 * kDepth), b = shared.array<BFloat16>(64 * kDepth * 2, columns * kDepth);
    fill(a, args.a, 64, a_by_depth, threads);
    fill(b, args.b, columns, b_by_depth, threads);
    fence_async_proxy();
    sync_block();
    float* const out = args.out + (thread() / 32 * 16 + lane() / 4) * columns + lane() % 4 * 2;
    float sums[columns / 2];
#pragma unroll
    for (int i = 0; i < columns / 2; ++i) sums[i] = out[i / 2 % 2 * 8 * columns + i / 4 * 8 + i % 2];
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      wgmma<a_by_depth, b_by_depth>(sums, operand(a, a_by_depth, step), operand(b, b_by_depth, step));
    }
    wgmma_commit();
    wgmma_wait<0>();
    hold(sums);
#pragma unroll
    for (int i = 0; i < columns / 2; ++i) out[i / 2 % 2 * 8 * columns + i / 4 * 8 + i % 2] = sums[i];
  }
};

std::vector<BFloat16> operand(int rows, int factor, int modulus) {
  std::vector<BFloat16> values(static_cast<std::size_t>(rows) * kDepth);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto number = static_cast<int>(i);
    values[i] = BFloat16(static_cast<float>((number * factor + number / kDepth) % modulus - modulus / 2));
  }
  return values;
}

/// a b' + before, exact: small whole numbers.
std::vector<float> product(const std::vector<BFloat16>& a, const std::vector<BFloat16>& b, std::vector<float> before) {
  const std::size_t rows = a.size() / kDepth, columns = b.size() / kDepth;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      for (std::size_t d = 0; d < kDepth; ++d) {
        before[row * columns + column] += float(a[row * kDepth + d]) * float(b[column * kDepth + d]);
      }
    }
  }
  return before;
}

std::vector<float> ramp(int size) {
  std::vector<float> values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1000);
  return values;
}

TEST_F(Wgmma, adds_products_of_operands_in_each_layout) {
  const auto check = [&]<int columns, bool a_by_depth, bool b_by_depth>() {
    const auto a = operand(64, 11, 29), b = operand(columns, 7, 23);
    const Array<BFloat16> as(a), bs(b);
    const auto before = ramp(64 * columns);
    const auto out = run<Multiply<columns, a_by_depth, b_by_depth>>(before, static_cast<const BFloat16*>(as.data()),
                                                                    static_cast<const BFloat16*>(bs.data()));
    EXPECT_EQ(out, product(a, b, before)) << columns << ' ' << a_by_depth << ' ' << b_by_depth;
  };
  check.template operator()<64, false, false>();
  check.template operator()<64, false, true>();
  check.template operator()<64, true, false>();
  check.template operator()<64, true, true>();
  check.template operator()<128, false, false>();
  check.template operator()<128, false, true>();
  check.template operator()<128, true, false>();
  check.template operator()<128, true, true>();
}

/// Three times a b', as three groups, of which two are in flight. The second warpgroup of the block computes them.
struct ThreeGroups {
  struct Args {
    float* out;             // (64, 64)
    const BFloat16 *a, *b;  // (64, 64)
  };
  static constexpr int threads = 256, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 2 * 64 * kDepth * 2;
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto a = shared.array<BFloat16>(0, 64 * kDepth), b = shared.array<BFloat16>(64 * kDepth * 2, 64 * kDepth);
    for (int i = thread(); i < 64 * kDepth / 8; i += threads) {
      cp_async_16(a + place_of(false, i / 8, i % 8 * 8), args.a + i * 8, true);
      cp_async_16(b + place_of(false, i / 8, i % 8 * 8), args.b + i * 8, true);
    }
    cp_async_commit();
    cp_async_wait<0>();
    fence_async_proxy();
    sync_block();
    if (warp() < 4) return;
    const std::uint64_t as = wgmma_operand_by_row(a), bs = wgmma_operand_by_row(b);
    float sums[32] = {};
#pragma unroll
    for (int group = 0; group < 3; ++group) {
      hold(sums);
      wgmma_fence();
#pragma unroll
      for (int at = 0; at < 8; at += 2) wgmma<false, false>(sums, as + at, bs + at);
      wgmma_commit();
      wgmma_wait<1>();
    }
    wgmma_wait<0>();
    hold(sums);
    const int row = thread() % 128 / 32 * 16 + lane() / 4, column = lane() % 4 * 2;
#pragma unroll
    for (int i = 0; i < 32; ++i) args.out[(row + i / 2 % 2 * 8) * 64 + column + i / 4 * 8 + i % 2] = sums[i];
  }
};

TEST_F(Wgmma, groups_of_products_follow_one_another) {
  const auto a = operand(64, 5, 31), b = operand(64, 3, 19);
  const Array<BFloat16> as(a), bs(b);
  const auto out = run<ThreeGroups>(std::vector<float>(64 * 64), static_cast<const BFloat16*>(as.data()),
                                    static_cast<const BFloat16*>(bs.data()));
  auto expected = product(a, b, std::vector<float>(64 * 64));
  for (float& sum : expected) sum *= 3;
  EXPECT_EQ(out, expected);
}

/// Three products of tiles one after another; sums that are put away, cleared and added again.
template <int rows, int columns, Layout of_a, Layout of_b>
struct Tiles {
  using Tile = WgmmaTile<rows, columns, of_a, of_b>;
  using Elements = Shared<BFloat16>;
  struct Args {
    float* out;  // (rows, columns)
    const BFloat16 *a, *b;
    float* parts;  // (rows * columns)
  };
  static constexpr int threads = Tile::threads, min_blocks = 1;
  static constexpr int kStage = (rows + columns) * 8;  // chunks
  static constexpr std::uint32_t shared_bytes = 2 * kStage * 16;
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto a = shared.array<Chunk<BFloat16>>(0, 2 * kStage), b = a + rows * 8;
    for (int stage = 0; stage < 2; ++stage) {
      fill((a + stage * kStage).template as<BFloat16>(), args.a, rows, of_a == Layout::by_depth, threads);
      fill((b + stage * kStage).template as<BFloat16>(), args.b, columns, of_b == Layout::by_depth, threads);
    }
    Tile tile;
    for (int step = 0; step < 3; ++step) {
      tile.template before_barrier<true>();
      sync_block();
      tile.multiply(a, b, step % 2 * kStage);
    }
    tile.finish();
    tile.put_sums(args.parts);
    tile.clear();
    tile.add_sums(args.parts);
    tile.add_sums(args.parts);
    tile.for_each([&](int row, int column, const auto& values) {
      for (int e = 0; e < Tile::run; ++e) args.out[row * columns + column + e] = values[e];
    });
  }
};

TEST_F(Wgmma, tiles_of_each_size_and_layout_add_up) {
  const auto check = [&]<int rows, int columns, Layout of_a, Layout of_b>() {
    const auto a = operand(rows, 11, 29), b = operand(columns, 7, 23);
    const Array<BFloat16> as(a), bs(b);
    const Array<float> parts(std::vector<float>(rows * columns));
    const auto out =
        run<Tiles<rows, columns, of_a, of_b>>(std::vector<float>(rows * columns), static_cast<const BFloat16*>(as.data()),
                                              static_cast<const BFloat16*>(bs.data()), parts.data());
    auto expected = product(a, b, std::vector<float>(rows * columns));
    for (float& sum : expected) sum *= 6;
    EXPECT_EQ(out, expected) << rows << ' ' << columns << ' ' << static_cast<int>(of_a) << ' ' << static_cast<int>(of_b);
  };
  const auto check_layouts = [&]<int rows, int columns>() {
    check.template operator()<rows, columns, Layout::by_row, Layout::by_row>();
    check.template operator()<rows, columns, Layout::by_row, Layout::by_depth>();
    check.template operator()<rows, columns, Layout::by_depth, Layout::by_depth>();
  };
  check_layouts.template operator()<64, 64>();
  check_layouts.template operator()<128, 64>();
  check_layouts.template operator()<128, 128>();
}

/// Kernels place chunks where wgmma reads them, without bank conflicts: eight neighbours down a column meet all banks.
TEST(WideLines, are_the_layouts_of_wgmma) {
  for (int row = 0; row < 128; ++row) {
    for (int depth = 0; depth < kDepth; ++depth) {
      EXPECT_EQ(WideLines::by_row(row, depth / 8) * 8 + depth % 8, place_of(false, row, depth));
      EXPECT_EQ((WideLines::by_depth<16, kDepth>(depth, row / 8) * 8 + row % 8), place_of(true, row, depth));
    }
  }
  for (int chunk = 0; chunk < 8; ++chunk) {
    int by_row = 0, by_depth = 0;
    for (int i = 0; i < 8; ++i) {
      by_row |= 1 << WideLines::by_row(i, chunk) % 8;
      by_depth |= 1 << WideLines::by_depth<8, kDepth>(i, chunk) % 8;
    }
    EXPECT_EQ(by_row, 0xFF);
    EXPECT_EQ(by_depth, 0xFF);
  }
}

}  // namespace
}  // namespace apam::kernels::cuda
