// Every function of the device language against what the PTX manual says of its instruction, written from the manual and not
// from the twin. Compiled for the emulator and, in builds with CUDA, for the GPU: there it shows that the twins are right.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cuda/divisor.h"
#include "kernels/cuda/reductions.h"
#include "kernels/cuda/tiles.h"
#include "tests/kernels/cuda/on_device.h"

#include <simt/launch.h>
#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

using Instructions = OnDevice;

struct Place {
  struct Args {
    int* out;  // (96, 3)
  };
  static constexpr int threads = 96, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  DEVICE static void run(const Args& args) {
    args.out[3 * thread()] = thread();
    args.out[3 * thread() + 1] = lane();
    args.out[3 * thread() + 2] = warp();
  }
};

TEST_F(Instructions, threads_are_numbered_by_warp_and_lane) {
  const auto out = run<Place>(std::vector<int>(96 * 3, -1));
  for (int i = 0; i < 96; ++i) {
    EXPECT_EQ(out[3 * i], i);
    EXPECT_EQ(out[3 * i + 1], i % 32);
    EXPECT_EQ(out[3 * i + 2], i / 32);
  }
}

struct Grid {
  struct Args {
    int* out;  // (2 * 3 * 4, 6)
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  DEVICE static void run(const Args& args) {
    const Extent at = block(), of = blocks();
    int* out = args.out + 6 * (at.x + of.x * (at.y + of.y * at.z));
    if (lane() != 0) return;
    out[0] = at.x, out[1] = at.y, out[2] = at.z, out[3] = of.x, out[4] = of.y, out[5] = of.z;
  }
};

TEST_F(Instructions, every_block_of_a_grid_runs_once) {
  const Array<int> results(std::vector<int>(24 * 6, -1));
  Exec exec({.device = kDevice});
  launch<Grid>(exec, {2, 3, 4}, {results.data()});
  const auto out = results.values();
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(std::vector<int>(out.begin() + 6 * i, out.begin() + 6 * i + 6),
              (std::vector<int>{i % 2, i / 2 % 3, i / 6, 2, 3, 4}));
  }
}

struct Shuffles {
  struct Args {
    float* out;  // (32, 8)
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  DEVICE static void run(const Args& args) {
    float* out = args.out + 8 * lane();
    const auto mine = static_cast<float>(lane());
    for (int bit = 0; bit < 5; ++bit) out[bit] = shuffle_xor(mine, 1 << bit);
    out[5] = shuffle(mine, 19);
    out[6] = warp_sum(mine);
    out[7] = warp_max(lane() == 7 ? std::numeric_limits<float>::quiet_NaN() : -mine);
  }
};

TEST_F(Instructions, shuffles_exchange_registers) {
  const auto out = run<Shuffles>(std::vector<float>(32 * 8));
  for (int lane = 0; lane < 32; ++lane) {
    for (int bit = 0; bit < 5; ++bit) EXPECT_EQ(out[8 * lane + bit], float(lane ^ 1 << bit));
    EXPECT_EQ(out[8 * lane + 5], 19);
    EXPECT_EQ(out[8 * lane + 6], 31 * 32 / 2);
    EXPECT_EQ(out[8 * lane + 7], 0);
  }
}

struct BlockSum {
  struct Args {
    float* out;  // (160, 2)
  };
  static constexpr int threads = 160, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 5 * sizeof(float);
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto scratch = shared.array<float>(0, 5);
    args.out[2 * thread()] = block_sum<threads>(static_cast<float>(thread()), scratch);
    args.out[2 * thread() + 1] = block_sum<threads>(1, scratch);
  }
};

TEST_F(Instructions, a_block_adds_up_its_threads) {
  const auto out = run<BlockSum>(std::vector<float>(320));
  for (int i = 0; i < 160; ++i) {
    EXPECT_EQ(out[2 * i], 159 * 160 / 2);
    EXPECT_EQ(out[2 * i + 1], 160);
  }
}

struct Round {
  struct Args {
    std::uint16_t* out;  // (size)
    const float* values;
    int size;
  };
  static constexpr int threads = 256, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  DEVICE static void run(const Args& args) {
    for (int i = thread(); i < args.size; i += threads) args.out[i] = to_bfloat16(args.values[i]).bits();
  }
};

TEST_F(Instructions, bfloat16_is_rounded_to_nearest_even) {
  std::vector<float> values;  // around every number of bfloat16: itself, the tie above it, and the neighbours of the tie
  for (std::uint32_t upper = 0; upper < 0x10000U; upper += 7) {
    for (const std::uint32_t lower : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      values.push_back(std::bit_cast<float>(upper << 16U | lower));
    }
  }
  const Array<float> in(values);
  const auto out = run<Round>(std::vector<std::uint16_t>(values.size()), in.data(), static_cast<int>(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const BFloat16 expected(values[i]);
    if (std::isnan(values[i])) {
      ASSERT_TRUE(std::isnan(float(BFloat16::from_bits(out[i])))) << values[i];
    } else {
      ASSERT_EQ(out[i], expected.bits()) << values[i];
    }
  }
}

/// Threads copy 16 bytes each, every third without a source, then read what the next thread copied.
struct AsynchronousCopies {
  struct Args {
    std::uint32_t* out;         // (64, 4)
    const std::uint32_t* from;  // (64, 4)
  };
  using Words = Pack<std::uint32_t, 4>;
  static constexpr int threads = 64, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = threads * 16;
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto chunks = shared.array<Words>(0, threads);
    cp_async_16(chunks + thread(), args.from + 4 * thread(), thread() % 3 != 0);
    cp_async_commit();
    cp_async_commit();  // an empty group
    cp_async_wait<1>();
    sync_block();
    const Words words = chunks[(thread() + 1) % threads];
    store_pack<4>(args.out + 4 * thread(), words);
    cp_async_wait<0>();
  }
};

TEST_F(Instructions, asynchronous_copies_fill_with_zeros) {
  std::vector<std::uint32_t> from(256);
  std::iota(from.begin(), from.end(), 1000U);
  const Array<std::uint32_t> in(from);
  const auto out = run<AsynchronousCopies>(std::vector<std::uint32_t>(256, 1), in.data());
  for (int i = 0; i < 64; ++i) {
    const int source = (i + 1) % 64;
    for (int word = 0; word < 4; ++word) EXPECT_EQ(out[4 * i + word], source % 3 == 0 ? 0U : from[4 * source + word]) << i;
  }
}

/// Four 8x8 matrices whose elements are their own index: 64 * matrix + 8 * row + column.
template <bool transposed>
struct LoadMatrices {
  struct Args {
    std::uint32_t* out;  // (32, 4)
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 512;
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto elements = shared.array<std::uint16_t>(0, 256);
    for (int i = thread(); i < 256; i += threads) elements[i] = static_cast<std::uint16_t>(i);
    sync_warp();
    std::uint32_t registers[4];
    if constexpr (transposed) {
      ldmatrix_transposed(registers, elements + 8 * lane());
    } else {
      ldmatrix(registers, elements + 8 * lane());
    }
    for (int matrix = 0; matrix < 4; ++matrix) args.out[4 * lane() + matrix] = registers[matrix];
  }
};

TEST_F(Instructions, ldmatrix_gives_each_lane_two_neighbours_of_a_row) {
  const auto plain = run<LoadMatrices<false>>(std::vector<std::uint32_t>(128));
  const auto transposed = run<LoadMatrices<true>>(std::vector<std::uint32_t>(128));
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
      const unsigned row = lane / 4, column = lane % 4 * 2, first = 64 * matrix;
      EXPECT_EQ(plain[4 * lane + matrix], (first + 8 * row + column) | (first + 8 * row + column + 1) << 16U);
      EXPECT_EQ(transposed[4 * lane + matrix], (first + 8 * column + row) | (first + 8 * (column + 1) + row) << 16U);
    }
  }
}

/// One product, operands loaded from memory by the manual's tables.
struct Multiply {
  struct Args {
    float* out;             // (16, 8)
    const BFloat16 *a, *b;  // (16, 16), (16, 8)
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  DEVICE static std::uint32_t pair(BFloat16 lower, BFloat16 upper) {
    return lower.bits() | static_cast<std::uint32_t>(upper.bits()) << 16U;
  }
  DEVICE static void run(const Args& args) {
    const int group = lane() / 4, within = lane() % 4;
    std::uint32_t a[4], b[2];
    for (int i = 0; i < 4; ++i) {  // elements 2i and 2i + 1 of the fragment
      const int row = group + (i % 2 == 0 ? 0 : 8), column = within * 2 + (i < 2 ? 0 : 8);
      a[i] = pair(args.a[row * 16 + column], args.a[row * 16 + column + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      const int row = within * 2 + (i == 0 ? 0 : 8);
      b[i] = pair(args.b[row * 8 + group], args.b[(row + 1) * 8 + group]);
    }
    float sums[4];
    for (int i = 0; i < 4; ++i) sums[i] = args.out[(group + (i < 2 ? 0 : 8)) * 8 + within * 2 + i % 2];
    mma_16x8x16(sums, a, b);
    for (int i = 0; i < 4; ++i) args.out[(group + (i < 2 ? 0 : 8)) * 8 + within * 2 + i % 2] = sums[i];
  }
};

TEST_F(Instructions, mma_adds_a_product_of_16x16_by_16x8) {
  std::vector<BFloat16> a(256), b(128);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = BFloat16(static_cast<float>(i * 11 % 29) - 14);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = BFloat16((static_cast<float>(i * 7 % 23) - 11) / 4);
  std::vector<float> before(128), expected(128);
  for (std::size_t i = 0; i < before.size(); ++i) before[i] = static_cast<float>(i);
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float& sum = expected[row * 8 + column] = before[row * 8 + column];
      for (int d = 0; d < 16; ++d) sum += float(a[row * 16 + d]) * float(b[d * 8 + column]);  // exact: small multiples of 1/4
    }
  }
  const Array<BFloat16> as(a), bs(b);
  EXPECT_EQ(run<Multiply>(before, static_cast<const BFloat16*>(as.data()), static_cast<const BFloat16*>(bs.data())), expected);
}

/// Each block raises a counter, and each thread lowers a number.
struct Meet {
  struct Args {
    int* out;  // (blocks): the counter before
    std::uint32_t* counter;
    std::int64_t* lowest;
    std::uint32_t last;
  };
  static constexpr int threads = 64, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  DEVICE static void run(const Args& args) {
    const std::int64_t own = std::int64_t{block().x} * threads + thread();
    lower_to(args.lowest, (own * 7919 + 13) % 4099 + (std::int64_t{1} << 40));
    if (thread() != 0) return;
    fence_grid();
    args.out[block().x] = static_cast<int>(count_up(args.counter, args.last));
  }
};

TEST_F(Instructions, counters_give_each_block_another_number_and_wrap) {
  constexpr int kBlocks = 69, kLast = 29;  // 30 numbers, twice, and 9 of them once more
  const Array<int> out(std::vector<int>(kBlocks, -1));
  const Array<std::uint32_t> counter({0U});
  const Array<std::int64_t> lowest({(std::int64_t{1} << 40) + 500});
  Exec exec({.device = kDevice});
  launch<Meet>(exec, {kBlocks}, {out.data(), counter.data(), lowest.data(), kLast});
  std::vector<int> times(kLast + 1);
  for (const int number : out.values()) ++times.at(static_cast<std::size_t>(number));
  for (int number = 0; number <= kLast; ++number) EXPECT_EQ(times[static_cast<std::size_t>(number)], number < 9 ? 3 : 2);
  EXPECT_EQ(counter.values(), std::vector<std::uint32_t>{9});
  std::int64_t expected = 500;
  for (std::int64_t own = 0; own < kBlocks * Meet::threads; ++own) expected = std::min(expected, (own * 7919 + 13) % 4099);
  EXPECT_EQ(lowest.values(), std::vector<std::int64_t>{expected + (std::int64_t{1} << 40)});
}

struct Divide {
  struct Args {
    int* out;  // (size, 2)
    const int* numbers;
    int size;
    Divisor divisor;
  };
  static constexpr int threads = 256, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  DEVICE static void run(const Args& args) {
    for (int i = thread(); i < args.size; i += threads) {
      args.out[2 * i] = args.divisor.quotient(args.numbers[i]);
      args.out[2 * i + 1] = args.divisor.remainder(args.numbers[i], args.out[2 * i]);
    }
  }
};

TEST_F(Instructions, divisors_divide_every_number) {
  constexpr int kMost = std::numeric_limits<int>::max();
  std::vector<int> divisors{13, 1000, 4095, 4096, 4097, 65537, 1 << 30, (1 << 30) + 1, kMost - 1, kMost};
  for (int d = 1; d <= 40; ++d) divisors.push_back(d);
  for (const int d : divisors) {
    std::vector<int> numbers{0, 1, kMost - 1, kMost};
    for (std::int64_t multiple = d; multiple <= kMost && numbers.size() < 200; multiple = multiple * 2 + d) {
      for (const std::int64_t n : {multiple - 1, multiple, multiple + 1})
        numbers.push_back(static_cast<int>(std::min<std::int64_t>(n, kMost)));
    }
    const Array<int> in(numbers);
    const auto out = run<Divide>(std::vector<int>(2 * numbers.size()), static_cast<const int*>(in.data()),
                                 static_cast<int>(numbers.size()), Divisor(d));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_EQ(out[2 * i], numbers[i] / d) << numbers[i] << " / " << d;
      ASSERT_EQ(out[2 * i + 1], numbers[i] % d) << numbers[i] << " % " << d;
    }
  }
}

/// Places are a permutation, and eight neighbours down a column of chunks are in different groups of four banks.
TEST(Tiles, swizzles_are_permutations_without_bank_conflicts) {
  const auto check = [](int rows, int chunks, const auto& place) {
    std::vector<int> seen(static_cast<std::size_t>(rows) * chunks);
    for (int row = 0; row < rows; ++row) {
      for (int chunk = 0; chunk < chunks; ++chunk) ++seen.at(static_cast<std::size_t>(place(row, chunk)));
    }
    EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
    for (int row = 0; row < rows; row += 8) {
      for (int chunk = 0; chunk < chunks; ++chunk) {
        int groups = 0;
        for (int i = 0; i < 8; ++i) groups |= 1 << place(row + i, chunk) % 8;
        EXPECT_EQ(groups, 0xFF) << row << ' ' << chunk;
      }
    }
  };
  check(128, kRowChunks, place_by_row);
  check(32, 8, place_by_depth<8>);
  check(32, 16, place_by_depth<16>);
}

}  // namespace
}  // namespace apam::kernels::cuda
