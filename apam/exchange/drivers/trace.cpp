#include "apam/exchange/drivers/trace.h"

#include <chrono>

namespace apam::exchange {

const TraceKindInfo& info(TraceKind kind) {
  static constexpr std::array<TraceKindInfo, kTraceKinds> table{{{"batch", "batch"},
                                                                 {"compute", "batch"},
                                                                 {"push", "batch"},
                                                                 {"pull"},
                                                                 {"wait", "gradients"},
                                                                 {"gradient", "batch", true},
                                                                 {"pass", "updates"},
                                                                 {"reply", "stop"},
                                                                 {"snapshot"},
                                                                 {"evaluation"},
                                                                 {"all-reduce"},
                                                                 {"headers"},
                                                                 {"update"}}};
  return table.at(static_cast<std::size_t>(kind));
}

std::int64_t TraceTrack::now() { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace apam::exchange
