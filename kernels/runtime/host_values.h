// Values of any device on the host.
#pragma once

#include <span>
#include <vector>

#include "kernels/runtime/buffer.h"

namespace apam {

/// A copy, after all earlier work of the device. Blocks.
inline std::vector<float> host_values(ConstSpan<float> values) {
  std::vector<float> host(values.size());
  copy(values, Span<float>(std::span(host)));
  return host;
}

/// Values where they are, or copied from a GPU. Their memory must outlive this.
class HostValues {
 public:
  explicit HostValues(ConstSpan<float> values) {
    if (values.device().kind == DeviceKind::cpu) {
      values_ = values.host();
    } else {
      copy_ = host_values(values);
      values_ = copy_;
    }
  }
  HostValues(const HostValues&) = delete;
  HostValues& operator=(const HostValues&) = delete;

  std::span<const float> all() const { return values_; }
  std::span<const float> at(std::size_t offset, std::size_t count) const { return values_.subspan(offset, count); }

 private:
  std::vector<float> copy_;
  std::span<const float> values_;
};

}  // namespace apam
