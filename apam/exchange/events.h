// What happens to the master of an asynchronous training. With the data, the options and the gradients, the order of the events
// determines its updates (master_state.h).
#pragma once

#include <string>
#include <variant>

#include "apam/exchange/transport.h"

namespace apam::exchange {

struct Joined {
  int worker = 0;
};
struct GradientReady {
  GradientMessage message;  ///< its values must stay valid until on() returns
};
struct Departed {
  int worker = 0;
  std::string why;
};
struct StopRequested {
  int signal = 0;
};
struct Tick {};
using Event = std::variant<Joined, GradientReady, Departed, StopRequested, Tick>;

}  // namespace apam::exchange
