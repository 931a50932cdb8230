// The exchange's own error, in addition to kernels/runtime/error.h.
#pragma once

#include "kernels/runtime/error.h"

namespace apam::exchange {

/// A message violates the protocol, a peer failed, or a transport failed.
class ExchangeError : public Error {
 public:
  using Error::Error;
};

}  // namespace apam::exchange
