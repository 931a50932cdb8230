// The order of the events of an asynchronous training, as text: order.jsonl, from which a replay makes the same updates
// (apam/exchange/drivers/replay.h). One JSON array per call of the master:
//
//   [{"workers":4}]             a start: 4 workers get their first weights. Another one follows where a run was resumed
//   [2,0]                       gradients of workers 2 and 0, taken together: both get the version after the second
//   [{"cancelled":3},1]         worker 3 gave up a computation that the master had cancelled
//   [{"gradient":1,"signal":15}]   worker 1 had caught a signal, which ends the run
//   [{"departed":2}]            worker 2 has left
//   [{"stop":15}]               the master had caught a signal
#pragma once

#include <string>
#include <string_view>

#include "apam/exchange/drivers/replay.h"

namespace apam::training {

/// One line, without its end.
std::string order_line(const exchange::RecordedCall& call);

/// Throws InputError, which names `where`, for text that order_line() cannot have written.
exchange::RecordedCall parse_order_line(std::string_view line, std::string_view where);

}  // namespace apam::training
