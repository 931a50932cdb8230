// The end of an exchange by a failure of one side, in memory that all sides share.
#pragma once

#include <array>
#include <string_view>

#include "apam/exchange/error.h"
#include "kernels/runtime/futex.h"

namespace apam::exchange::shared {

struct Closing {
  futex::Word state = 0;  // 0: open, 1: the reason is being written, 2: closed
  std::array<char, 512> reason{};

  /// True for the first call. Those that wait must then be woken.
  bool close(std::string_view why) {
    std::uint32_t open = 0;
    if (!state.compare_exchange_strong(open, 1)) return false;
    why.copy(reason.data(), reason.size() - 1);
    state.store(2, std::memory_order_release);
    return true;
  }

  /// Throws ExchangeError with the first reason if the exchange was closed.
  void require_open() const {
    if (state.load(std::memory_order_acquire) != 2) return;
    fail<ExchangeError>("shared memory: the exchange was closed: {}", reason.data());
  }
};

}  // namespace apam::exchange::shared
