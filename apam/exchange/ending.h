// How a run ended.
#pragma once

#include <cstdint>

namespace apam::exchange {

struct Ending {
  enum class Why : std::uint8_t {
    complete,     ///< all updates were made
    interrupted,  ///< a signal asked the run to stop
    diverged,     ///< the loss or the model's state is no longer finite (divergence.h)
  };

  Why why = Why::complete;
  std::int64_t update = 0;  ///< updates applied when it ended
  int signal = 0;           ///< that interrupted it
};

}  // namespace apam::exchange
