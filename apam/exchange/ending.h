// The end of a run.
#pragma once

#include <cstdint>

namespace apam::exchange {

struct Ending {
  enum class Why : std::uint8_t {
    complete,     ///< all updates were made
    interrupted,  ///< stopped by a signal
    diverged,     ///< the loss or the model's state is no longer finite (divergence.h)
    deserted,     ///< every worker has left before all updates were made
  };

  Why why = Why::complete;
  std::int64_t update = 0;  ///< updates applied when it ended
  int signal = 0;           ///< that stopped it
};

}  // namespace apam::exchange
