// Memory for a FirstNonFinite.
#pragma once

#include "kernels/ops/first_non_finite.h"
#include "kernels/runtime/buffer.h"

namespace apam::kernels {

class NonFinitePlace {
 public:
  explicit NonFinitePlace(Device device) : memory_(device, sizeof(std::int64_t)) { clear(); }

  /// kNone, as before the first update.
  void clear() const { copy_bytes(memory_.data(), memory_.device(), &kNone, Device{}, sizeof kNone); }
  FirstNonFinite span() const { return memory_.as<std::int64_t>(); }
  /// After all work of the device.
  std::int64_t value() const {
    std::int64_t found = 0;
    copy_bytes(&found, Device{}, memory_.data(), memory_.device(), sizeof found);
    return found;
  }

 private:
  Buffer memory_;
};

}  // namespace apam::kernels
