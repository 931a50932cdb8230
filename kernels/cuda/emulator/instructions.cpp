// Warp-wide instructions, after the PTX manual (sections "ldmatrix" and "Matrix fragments for mma.m16n8k16"). With g = lane / 4
// and t = lane % 4, the lanes hold
//   8x8 matrix       row g, columns 2t and 2t+1
//   a (16 x 16)      a[0]: row g, columns 2t..   a[1]: row g+8   a[2]: row g, columns 2t+8..   a[3]: row g+8, columns 2t+8..
//   b (16 x 8)       b[0]: rows 2t.., column g   b[1]: rows 2t+8.., column g
//   sums (16 x 8)    sums[0..1]: row g, columns 2t..   sums[2..3]: row g+8
#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "kernels/cuda/emulator/device.h"

namespace apam::kernels::cuda::emulator {
namespace {

constexpr int kBanks = 32, kBankBytes = 4, kRowBytes = 16;

/// Cycles for 8 rows of 16 bytes: the largest number of different words that one bank has to deliver.
int cycles_of(const std::array<std::uint32_t, 8>& rows) {
  std::array<int, kBanks> words{};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    bool known = false;  // lanes that read the same row share its words
    for (std::size_t other = 0; other < row; ++other) known = known || rows[other] == rows[row];
    if (known) continue;
    for (std::uint32_t byte = 0; byte < kRowBytes; byte += kBankBytes) ++words[(rows[row] + byte) / kBankBytes % kBanks];
  }
  int most = 0;
  for (const int count : words) most = std::max(most, count);
  return most;
}

float upper(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000U); }
float lower(std::uint32_t pair) { return std::bit_cast<float>(pair << 16U); }

}  // namespace

void ldmatrix(std::uint32_t (&registers)[4], SharedAddress row, bool transposed, const Site& site) {
  struct Mine {
    std::uint32_t* registers;
    std::uint32_t at;
    const std::byte* row;
  };
  Block& block = current_block();
  Mine mine{registers, row.at, block.memory().read_row(block.thread(), row, site)};
  collective(transposed ? "ldmatrix.trans" : "ldmatrix", mine, site, [&](const Lanes& lanes) {
    const auto of = [&](int lane) { return static_cast<Mine*>(lanes[static_cast<std::size_t>(lane)]); };
    BankUse& use = block.report().banks[name_of(site)];
    ++use.accesses;
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::array<std::uint32_t, 8> rows{};
      for (int i = 0; i < 8; ++i) rows[static_cast<std::size_t>(i)] = of(8 * matrix + i)->at;
      use.cycles += cycles_of(rows);
      ++use.least_cycles;
      for (int lane = 0; lane < kWarp; ++lane) {
        std::uint16_t pair[2];
        for (int e = 0; e < 2; ++e) {
          const int g = lane / 4, t = 2 * (lane % 4) + e;
          const std::byte* from = of(8 * matrix + (transposed ? t : g))->row;
          std::memcpy(&pair[e], from + 2 * (transposed ? g : t), 2);
        }
        of(lane)->registers[matrix] = pair[0] | std::uint32_t{pair[1]} << 16U;
      }
    }
  });
}

void mma_16x8x16(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const Site& site) {
  struct Mine {
    float* sums;
    const std::uint32_t *a, *b;
  } mine{sums, a, b};
  collective("mma", mine, site, [](const Lanes& lanes) {
    float left[16][16], right[16][8];  // [row][depth], [depth][column]
    for (int lane = 0; lane < kWarp; ++lane) {
      const auto* from = static_cast<const Mine*>(lanes[static_cast<std::size_t>(lane)]);
      const int g = lane / 4, t = 2 * (lane % 4);
      for (int r = 0; r < 4; ++r) {
        left[g + 8 * (r % 2)][t + 8 * (r / 2)] = lower(from->a[r]);
        left[g + 8 * (r % 2)][t + 8 * (r / 2) + 1] = upper(from->a[r]);
      }
      for (int r = 0; r < 2; ++r) {
        right[t + 8 * r][g] = lower(from->b[r]);
        right[t + 8 * r + 1][g] = upper(from->b[r]);
      }
    }
    float products[16][8] = {};  // the order in which the hardware adds, and how it rounds, are not documented
    for (int depth = 0; depth < 16; ++depth) {
      for (int row = 0; row < 16; ++row) {
        for (int column = 0; column < 8; ++column) products[row][column] += left[row][depth] * right[depth][column];
      }
    }
    for (int lane = 0; lane < kWarp; ++lane) {
      float* to = static_cast<Mine*>(lanes[static_cast<std::size_t>(lane)])->sums;
      for (int r = 0; r < 4; ++r) to[r] += products[lane / 4 + 8 * (r / 2)][2 * (lane % 4) + r % 2];
    }
  });
}

void wgmma_fence(const Site& site) {
  int nothing = 0;
  collective("wgmma.fence", nothing, site, [](const Lanes&) { current_block().products().fence(); });
}

void wgmma(const Product& product, float* sums, const Site& site) {
  struct Mine {
    const Product* product;
    float* sums;
  } mine{&product, sums};
  collective("wgmma", mine, site, [&](const Lanes& lanes) {
    std::array<float*, kWarp> registers{};
    for (int lane = 0; lane < kWarp; ++lane) {
      const auto* from = static_cast<const Mine*>(lanes[static_cast<std::size_t>(lane)]);
      if (*from->product != product) {
        throw Stop{fmt::format("wgmma at {}: the lanes of a warp issue different products", name_of(site))};
      }
      registers[static_cast<std::size_t>(lane)] = from->sums;
    }
    Block& block = current_block();
    block.products().issue(block.memory(), block.thread(), product, registers, site);
  });
}

void wgmma_commit(const Site& site) {
  int nothing = 0;
  collective("wgmma.commit_group", nothing, site, [](const Lanes&) { current_block().products().commit(); });
}

void wgmma_wait(std::size_t groups_left, const Site& site) {
  int nothing = 0;
  collective("wgmma.wait_group", nothing, site, [&](const Lanes&) {
    Block& block = current_block();
    block.products().wait(block.memory(), groups_left);
  });
}

}  // namespace apam::kernels::cuda::emulator
