// Threads of a block and how they wait for each other: host twins of gpu/simt/threads.h. `site` is the caller's place.
#pragma once

#include <cstdint>

#include "kernels/cuda/emulator/device.h"
#include "kernels/cuda/extent.h"

namespace apam::kernels::cuda {
inline namespace on_emulator {

inline int thread() { return emulator::current_block().thread(); }
inline int lane() { return thread() % emulator::kWarp; }
inline int warp() { return thread() / emulator::kWarp; }
inline Extent block() { return emulator::current_block().place(); }
inline Extent blocks() { return emulator::current_block().launch().blocks; }

inline void sync_block(emulator::Site site = emulator::Site::current()) { emulator::current_block().meet_block(site); }

inline void sync_warp(emulator::Site site = emulator::Site::current()) {
  int nothing = 0;
  emulator::collective("sync_warp", nothing, site, [](const auto&) { emulator::current_block().order_warp(); });
}

template <class T>
T shuffle_xor(T value, int mask, emulator::Site site = emulator::Site::current()) {
  return emulator::exchange("shuffle_xor", value, site, [=](int lane) { return lane ^ mask; });
}

template <class T>
T shuffle(T value, int from, emulator::Site site = emulator::Site::current()) {
  return emulator::exchange("shuffle", value, site, [=](int) { return from; });
}

inline void fence_grid() { emulator::current_block().fence(); }

/// Blocks run one after another, so the sum is that of any order. It reports a counter without a fence before it.
inline std::uint32_t count_up(std::uint32_t* counter, std::uint32_t last, emulator::Site site = emulator::Site::current()) {
  emulator::current_block().require_fence(site);
  const std::uint32_t before = *counter;
  *counter = before >= last ? 0 : before + 1;
  return before;
}

inline void lower_to(std::int64_t* number, std::int64_t value) {
  if (value < *number) *number = value;
}

}  // namespace on_emulator
}  // namespace apam::kernels::cuda
