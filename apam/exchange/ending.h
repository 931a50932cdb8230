// The end of a run.
#pragma once

#include <cstdint>
#include <string_view>

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

constexpr std::string_view to_string(Ending::Why why) {
  switch (why) {
    case Ending::Why::complete:
      return "complete";
    case Ending::Why::interrupted:
      return "interrupted";
    case Ending::Why::diverged:
      return "diverged";
    case Ending::Why::deserted:
      return "deserted";
  }
  return "";
}

}  // namespace apam::exchange
