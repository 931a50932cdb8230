// The six AMX instructions of kernels/cpu/bf16/amx_unit.h, as in Intel's Software Developer's Manual, volume 2. All have a VEX
// prefix of three bytes:
//   C4 | R' X' B' 00010 | 0 v'v'v'v' 0 pp | opcode | ModRM | SIB | displacement       (' = inverted)
//   ldtilecfg  pp = none, 49 /0 memory       tilerelease  pp = none, 49 C0      tilezero   pp = F2, 49 /r register
//   tileloadd  pp = F2,   4B /r SIB          tilestored   pp = F3,   4B /r SIB  tdpbf16ps  pp = F3, 5C /r register
// What the processor would refuse ends the test program with one line.
#include <signal.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string_view>

#include "kernels/cpu/bf16/amx_support.h"
#include "kernels/cpu/bf16/builds.h"
#include "kernels/cpu/isa.h"
#include "tests/kernels/cpu/trapped_amx.h"

namespace apam::kernels::cpu {
namespace {

std::atomic<std::int64_t> products{0}, configured_threads{0};

/// Only what is allowed in a signal handler.
[[noreturn]] void refuse(std::string_view why) {
  constexpr std::string_view kStart = "trapped AMX instruction: ";
  static_cast<void>(::write(STDERR_FILENO, kStart.data(), kStart.size()) + ::write(STDERR_FILENO, why.data(), why.size()) +
                    ::write(STDERR_FILENO, "\n", 1));
  ::_exit(1);
}
void demand(bool holds, std::string_view otherwise) {
  if (!holds) refuse(otherwise);
}

constexpr int kTiles = 8, kMostRows = 16, kMostBytes = 64;

struct Tile {
  int rows = 0, row_bytes = 0;
  alignas(64) std::uint8_t data[kMostRows][kMostBytes];

  void clear() { std::memset(data, 0, sizeof data); }
};

/// The registers of a thread.
struct Tiles {
  bool configured = false;
  Tile tile[kTiles];

  Tile& use(int number) {
    demand(configured, "tiles are not configured on this thread");
    demand(number < kTiles && tile[number].rows > 0, "the configuration does not have this tile");
    return tile[number];
  }

  /// The 64 bytes of ldtilecfg.
  void configure(const std::uint8_t* bytes) {
    demand(bytes[0] == 1, "ldtilecfg: the palette is not 1");
    for (int i = 1; i < 16; ++i) demand(bytes[i] == 0, "ldtilecfg: a start row or a reserved byte is not zero");
    configured_threads += configured ? 0 : 1;
    configured = true;
    for (int t = 0; t < kMostRows; ++t) {
      const int row_bytes = bytes[16 + 2 * t] + 256 * bytes[17 + 2 * t], rows = bytes[48 + t];
      demand(t < kTiles || (row_bytes == 0 && rows == 0), "ldtilecfg: configures more than 8 tiles");
      demand((row_bytes == 0) == (rows == 0) && row_bytes <= kMostBytes && rows <= kMostRows,
             "ldtilecfg: wrong size of a tile");
      if (t == kTiles) break;
      tile[t].rows = rows;
      tile[t].row_bytes = row_bytes;
      tile[t].clear();
    }
  }
  void release() {
    demand(configured, "tilerelease: tiles are not configured on this thread");
    configured_threads -= 1;
    configured = false;
  }
};
thread_local Tiles tiles;

float flushed(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7F800000U) == 0) bits &= 0x80000000U;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
float at(const Tile& tile, int row, int column) {
  float value = 0;
  std::memcpy(&value, tile.data[row] + 4 * column, sizeof value);
  return flushed(value);
}
/// One half of pair `column`.
float half_at(const Tile& tile, int row, int column, bool odd) {
  std::uint8_t bytes[4] = {};
  std::memcpy(bytes + 2, tile.data[row] + 4 * column + (odd ? 2 : 0), 2);
  float value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return flushed(value);
}

/// Products of two bfloat16 are exact in float32, so these two roundings are the one of a fused multiply-add.
void multiply(Tile& c, const Tile& a, const Tile& b) {
  demand(&c != &a && &c != &b && &a != &b, "tdpbf16ps: one tile is used twice");
  demand(a.rows == c.rows && b.row_bytes == c.row_bytes && a.row_bytes == 4 * b.rows, "tdpbf16ps: sizes do not match");
  const int columns = c.row_bytes / 4;
  float b_half[2][kMostRows][kMostBytes / 4];
  for (int p = 0; p < b.rows; ++p) {
    for (int n = 0; n < columns; ++n) {
      for (int odd = 0; odd < 2; ++odd) b_half[odd][p][n] = half_at(b, p, n, odd != 0);
    }
  }
  for (int m = 0; m < c.rows; ++m) {
    float half[2][kMostBytes / 4] = {};
    for (int p = 0; p < b.rows; ++p) {
      for (int odd = 0; odd < 2; ++odd) {
        const float factor = half_at(a, m, p, odd != 0);
        for (int n = 0; n < columns; ++n) half[odd][n] = flushed(half[odd][n] + factor * b_half[odd][p][n]);
      }
    }
    for (int n = 0; n < columns; ++n) {
      const float sum = flushed(at(c, m, n) + flushed(half[0][n] + half[1][n]));
      std::memcpy(c.data[m] + 4 * n, &sum, sizeof sum);
    }
  }
  ++products;
}

std::uint8_t* at_address(std::int64_t address) {
  return reinterpret_cast<std::uint8_t*>(address);  // NOLINT(performance-no-int-to-ptr): registers have numbers
}

/// A general register by its number in an instruction.
std::int64_t register_of(const ucontext_t& context, int number) {
  constexpr int kOrder[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return context.uc_mcontext.gregs[kOrder[number]];
}

struct Instruction {
  enum Prefix { none = 0, f3 = 2, f2 = 3 };

  int prefix, opcode;
  int mode, reg, rm, third;   // ModRM, and the operand in the prefix
  std::int64_t base, stride;  // memory operands: base + displacement, and index * scale
  const std::uint8_t* after;  // the next instruction
};

/// False if the bytes are none of the six instructions.
bool decode(const std::uint8_t* at, const ucontext_t& context, Instruction& found) {
  if (at[0] != 0xC4 || (at[1] & 0x1FU) != 2 || (at[2] & 0x84U) != 0) return false;
  const int high_index = (at[1] & 0x40U) != 0 ? 0 : 8, high_base = (at[1] & 0x20U) != 0 ? 0 : 8;
  found.prefix = at[2] & 3U;
  found.third = ~(at[2] >> 3U) & 15U;
  found.opcode = at[3];
  const unsigned modrm = at[4];
  found.mode = static_cast<int>(modrm >> 6U);
  found.reg = static_cast<int>(modrm >> 3U & 7U);
  found.rm = static_cast<int>(modrm & 7U);
  at += 5;
  found.base = found.stride = 0;
  if (found.mode != 3) {
    int base = found.rm;
    if (found.rm == 4) {
      const unsigned sib = *at++;
      base = static_cast<int>(sib & 7U);
      const int index = static_cast<int>(sib >> 3U & 7U) + high_index;
      if (index != 4) found.stride = register_of(context, index) * (std::int64_t{1} << (sib >> 6U));
    }
    const bool no_base = found.mode == 0 && base == 5;
    std::int32_t displacement = 0;
    if (found.mode == 1) displacement = static_cast<std::int8_t>(*at++);
    if (found.mode == 2 || no_base) {
      std::memcpy(&displacement, at, sizeof displacement);
      at += sizeof displacement;
    }
    if (!no_base) found.base = register_of(context, base + high_base);
    if (no_base && found.rm == 5) found.base = reinterpret_cast<std::intptr_t>(at);  // relative to the next instruction
    found.base += displacement;
  }
  found.after = at;
  return found.opcode == 0x49 || found.opcode == 0x4B || found.opcode == 0x5C;
}

bool execute(const Instruction& on) {
  const auto memory = [&](int row) { return at_address(on.base + row * on.stride); };
  const bool registers = on.mode == 3, rows = !registers && on.rm == 4;
  if (on.opcode == 0x49 && on.prefix == Instruction::none && !registers && on.reg == 0) {
    tiles.configure(memory(0));
  } else if (on.opcode == 0x49 && on.prefix == Instruction::none && registers && on.reg == 0 && on.rm == 0) {
    tiles.release();
  } else if (on.opcode == 0x49 && on.prefix == Instruction::f2 && registers && on.rm == 0) {
    tiles.use(on.reg).clear();
  } else if (on.opcode == 0x4B && on.prefix == Instruction::f2 && rows) {
    Tile& tile = tiles.use(on.reg);
    tile.clear();
    for (int row = 0; row < tile.rows; ++row)
      std::memcpy(tile.data[row], memory(row), static_cast<std::size_t>(tile.row_bytes));
  } else if (on.opcode == 0x4B && on.prefix == Instruction::f3 && rows) {
    const Tile& tile = tiles.use(on.reg);
    for (int row = 0; row < tile.rows; ++row)
      std::memcpy(memory(row), tile.data[row], static_cast<std::size_t>(tile.row_bytes));
  } else if (on.opcode == 0x5C && on.prefix == Instruction::f3 && registers) {
    multiply(tiles.use(on.reg), tiles.use(on.rm), tiles.use(on.third));
  } else {
    return false;
  }
  return true;
}

void handle(int signal, siginfo_t*, void* at) {
  auto& context = *static_cast<ucontext_t*>(at);
  auto& next = context.uc_mcontext.gregs[REG_RIP];
  Instruction instruction{};
  if (decode(at_address(next), context, instruction) && execute(instruction)) {
    next = reinterpret_cast<std::intptr_t>(instruction.after);
  } else {
    ::signal(signal, SIG_DFL);  // the instruction raises the signal again
  }
}

const TileKernels16* install() {
  if (available_amx_tiles() != nullptr || all_isas().back()->tiles == nullptr) return nullptr;
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  return ::sigaction(SIGILL, &action, nullptr) == 0 ? &amx_tiles() : nullptr;
}

}  // namespace

const TileKernels16* trapped_amx_tiles() {
  static const TileKernels16* const kernels = install();
  return kernels;
}

TrappedAmx trapped_amx() { return {products, configured_threads}; }

}  // namespace apam::kernels::cpu
