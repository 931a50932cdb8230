#include "kernels/runtime/device.h"

#include <charconv>

#include "kernels/runtime/error.h"

namespace apam {

std::string to_string(Device device) { return device.kind == DeviceKind::cpu ? "cpu" : fmt::format("cuda:{}", device.index); }

Device parse_device(std::string_view text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {DeviceKind::cuda, 0};
  constexpr std::string_view prefix = "cuda:";
  if (text.starts_with(prefix)) {
    Device device{DeviceKind::cuda, 0};
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + prefix.size(), end, device.index);
    if (error == std::errc{} && stop == end && device.index >= 0) return device;
  }
  fail<InputError>("device: expected cpu, cuda or cuda:INDEX, got '{}'", text);
}

}  // namespace apam
