#include "apam/training/machine.h"

#include "apam/training/json_text.h"
#include "kernels/providers.h"
#include "kernels/runtime/device_runtime.h"
#include "kernels/tuning_cache.h"

namespace apam::training {

std::string Machine::to_text() const { return Json{device, gpu, cpu, instruction_set}.dump(); }

Machine Machine::from_text(std::string_view text) {
  const Json json = Json::parse(text);
  return {json.at(0), json.at(1), json.at(2), json.at(3)};
}

Machine this_machine(Device device) {
  const std::vector<std::string> gpus = device.kind == DeviceKind::cuda ? gpu_names() : std::vector<std::string>();
  const auto index = static_cast<std::size_t>(device.index);
  return {.device = to_string(device),
          .gpu = index < gpus.size() ? json_text(gpus[index]) : "",
          .cpu = json_text(kernels::cpu_model()),
          .instruction_set = std::string(kernels::cpu::instruction_set())};
}

std::vector<Machine> machines_from(std::span<const std::string> texts) {
  std::vector<Machine> machines;
  machines.reserve(texts.size());
  for (const std::string& text : texts) machines.push_back(Machine::from_text(text));
  return machines;
}

}  // namespace apam::training
