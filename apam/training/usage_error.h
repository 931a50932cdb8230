#pragma once

#include "kernels/runtime/error.h"

namespace apam::training {

/// The command line is invalid or contradicts itself. The program ends with exit code 2; with 1 after any other Error.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Calls `body` and turns its InputErrors into UsageErrors: they are about options.
template <class Body>
auto checking_usage(Body&& body) {
  try {
    return body();
  } catch (const InputError& error) {
    throw UsageError(error.what());
  }
}

}  // namespace apam::training
