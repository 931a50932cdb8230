// Copies by TMA against what the manuals of PTX and of the driver say of them, written from the manuals, not from the twins.
// Compiled for the emulator and, in builds with CUDA, for GPUs of compute capability 9.0: there it shows that the twins are
// right.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/elements.h"
#include "tests/kernels/cuda/on_hopper.h"

#include <simt/launch.h>
#include <simt/macros.h>
#include <simt/threads.h>
#include <simt/tma.h>

namespace apam::kernels::cuda {
namespace {

class Tma : public OnHopper {};

constexpr int kMostLines = 128;

/// Loads a box and copies its lines out of shared memory, without the swizzle.
template <class Place>
struct Load {
  struct Args {
    BFloat16* out;  // (lines, 64)
    TensorMap map;
    Place at;
    int lines;
  };
  static constexpr int threads = 64, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = kMostLines * 128 + sizeof(Mbarrier);
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto box = shared.array<BFloat16>(0, kMostLines * kBoxLine);
    const auto arrived = shared.array<Mbarrier>(kMostLines * 128, 1);
    if (thread() == 0) {
      mbarrier_init(arrived, 1);
      fence_mbarrier_init();
      mbarrier_arrive(arrived, args.lines * 128);
      tma_load(box, args.map, arrived, args.at);
    }
    sync_block();
    mbarrier_wait(arrived, 0);
    for (int i = thread(); i < args.lines * kBoxLine; i += threads) {
      const int line = i / kBoxLine, chunk = i % kBoxLine / 8 ^ line % 8;
      const BFloat16 value = box[line * kBoxLine + chunk * 8 + i % 8];
      args.out[i] = value;
    }
  }
};

/// 1, 2, 3, ...: each number is exact in bfloat16 up to 256, and no two neighbours are equal.
std::vector<BFloat16> numbered(std::size_t count) {
  std::vector<BFloat16> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = BFloat16(static_cast<float>(i % 251 + 1));
  return values;
}

const BFloat16 kNotWritten(-1.0F);

TEST_F(Tma, copies_boxes_of_matrices) {
  constexpr int kX = 72, kY = 3, kZ = 40;
  const auto values = numbered(kX * kY * kZ);
  const Array<BFloat16> data(values);
  for (const int lines : {1, 33, 64, 128}) {
    const TensorMap map = tensor_map(kDevice, MatrixBox{data.data(), {kX, kY, kZ}, lines});
    for (const MatrixPlace at : {MatrixPlace{0, 0, 0}, {64, 2, 30}, {8, 1, -5}, {128, 0, 0}, {0, 3, 0}, {-8, 0, 39}}) {
      std::vector<BFloat16> expected(static_cast<std::size_t>(lines) * kBoxLine);
      for (int i = 0; i < lines * kBoxLine; ++i) {
        const int x = at.x + i % kBoxLine, z = at.z + i / kBoxLine;
        const bool inside = x >= 0 && x < kX && at.y < kY && z >= 0 && z < kZ;
        expected[static_cast<std::size_t>(i)] = inside ? values[(z * kY + at.y) * kX + x] : BFloat16(0.0F);
      }
      const auto out = run<Load<MatrixPlace>>(std::vector<BFloat16>(expected.size(), kNotWritten), map, at, lines);
      EXPECT_EQ(out, expected) << lines << " lines at " << at.x << ' ' << at.y << ' ' << at.z;
    }
  }
}

struct Base {
  int n, h, w;
};

/// All base pixels of a box, in the order in which it walks.
std::vector<Base> bases_of(const ImageBox& box) {
  std::vector<Base> all;
  for (int n = 0; n < box.n; ++n) {
    for (int h = box.lower.h; h <= box.h - 1 + box.upper.h; h += box.step) {
      for (int w = box.lower.w; w <= box.w - 1 + box.upper.w; w += box.step) all.push_back({n, h, w});
    }
  }
  return all;
}

TEST_F(Tma, copies_pixels_of_images) {
  constexpr int kN = 3, kH = 7, kW = 5, kC = 80;
  const auto values = numbered(kN * kH * kW * kC);
  const Array<BFloat16> data(values);
  const auto check = [&](ImageBox::Corner lower, ImageBox::Corner upper, int step, int pixels, std::size_t first, int c,
                         int offset_h, int offset_w) {
    const ImageBox box{data.data(), kN, kH, kW, kC, lower, upper, step, pixels};
    const auto bases = bases_of(box);
    ASSERT_LT(first, bases.size());
    std::vector<BFloat16> expected(static_cast<std::size_t>(pixels) * kBoxLine);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::size_t pixel = first + i / kBoxLine;
      if (pixel >= bases.size()) continue;  // behind the last image: zeros
      const auto [n, h, w] = bases[pixel];
      const int channel = c + static_cast<int>(i % kBoxLine), y = h + offset_h, x = w + offset_w;
      if (channel >= kC || y < 0 || y >= kH || x < 0 || x >= kW) continue;
      expected[i] = values[((n * kH + y) * kW + x) * kC + channel];
    }
    const ImagePlace at{c, bases[first].w, bases[first].h, bases[first].n, offset_w, offset_h};
    const auto out =
        run<Load<ImagePlace>>(std::vector<BFloat16>(expected.size(), kNotWritten), tensor_map(kDevice, box), at, pixels);
    EXPECT_EQ(out, expected) << "step " << step << ", " << pixels << " pixels from " << first << ", channel " << c
                             << ", offsets " << offset_h << ' ' << offset_w;
  };
  for (const int offset_h : {0, 1, 2}) {
    for (const int offset_w : {0, 1, 2}) {
      check({-1, -1}, {-1, -1}, 1, 128, 0, 0, offset_h, offset_w);   // 3x3, padding 1: the pixels of the images
      check({-1, -1}, {-1, -1}, 1, 64, 33, 64, offset_h, offset_w);  // from the middle of a line, over the end of an image
      check({-1, -1}, {-1, -1}, 2, 64, 5, 0, offset_h, offset_w);    // stride 2: 4 x 3 pixels per image
      check({0, 0}, {-2, -2}, 1, 64, 41, 64, offset_h, offset_w);    // no padding, over the last image
      check({-2, 0}, {0, -2}, 1, 128, 7, 8, offset_h, offset_w);     // padding in one dimension: which one is which
    }
  }
  check({0, -1}, {0, 2}, 1, 128, 0, 0, 0, 1);  // more base pixels than pixels in a line
}

/// Boxes of eight lines through three stages, two copies for each phase of an mbarrier; waits for phases in turn.
struct Ring {
  struct Args {
    float* out;  // (rounds): the sum of the first elements of both copies
    TensorMap map;
    int rounds;
  };
  static constexpr int threads = 64, min_blocks = 1, kStages = 3, kBoxBytes = 8 * 128;
  static constexpr std::uint32_t shared_bytes = kStages * (2 * kBoxBytes + sizeof(Mbarrier));
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto stages = shared.array<BFloat16>(0, kStages * kBoxBytes);
    const auto arrived = shared.array<Mbarrier>(kStages * 2 * kBoxBytes, kStages);
    const auto issue = [&](int round) {
      const auto to = stages + round % kStages * kBoxBytes;
      mbarrier_arrive(arrived + round % kStages, 2 * kBoxBytes);
      tma_load(to, args.map, arrived + round % kStages, MatrixPlace{0, 0, round});
      tma_load(to + kBoxBytes / 2, args.map, arrived + round % kStages, MatrixPlace{0, 0, round + 1});
    };
    if (thread() == 0) {
      for (int stage = 0; stage < kStages; ++stage) mbarrier_init(arrived + stage, 1);
      fence_mbarrier_init();
      for (int round = 0; round < kStages - 1; ++round) issue(round);
    }
    sync_block();
    for (int round = 0; round < args.rounds; ++round) {
      mbarrier_wait(arrived + round % kStages, round / kStages & 1);
      const BFloat16 first = stages[round % kStages * kBoxBytes], second = stages[round % kStages * kBoxBytes + kBoxBytes / 2];
      if (thread() == 63) args.out[round] = float(first) + float(second);
      sync_block();
      fence_async_proxy();  // reads before the copies that follow
      if (thread() == 0 && round + kStages - 1 < args.rounds) issue(round + kStages - 1);
    }
  }
};

TEST_F(Tma, phases_of_mbarriers_follow_one_another) {
  constexpr int kRounds = 17;
  const auto values = numbered((kRounds + 8) * 64);
  const Array<BFloat16> data(values);
  const TensorMap map = tensor_map(kDevice, MatrixBox{data.data(), {64, 1, kRounds + 8}, 8});
  const auto out = run<Ring>(std::vector<float>(kRounds), map, kRounds);
  for (std::size_t round = 0; round < kRounds; ++round) {
    EXPECT_EQ(out[round], float(values[round * 64]) + float(values[(round + 1) * 64])) << round;
  }
}

}  // namespace
}  // namespace apam::kernels::cuda
