// What the exchange throws beside the errors of kernels/runtime/error.h.
#pragma once

#include "kernels/runtime/error.h"

namespace apam::exchange {

/// A message that breaks the protocol, a peer that failed, or a transport that refused.
class ExchangeError : public Error {
 public:
  using Error::Error;
};

}  // namespace apam::exchange
