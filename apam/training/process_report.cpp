#include "apam/training/process_report.h"

#include <sys/resource.h>

#include <utility>

#include "apam/training/json_text.h"
#include "kernels/runtime/host_name.h"

namespace apam::training {

ProcessReport report_process(std::vector<KernelReport> kernels) {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return {json_text(host_name()), static_cast<double>(usage.ru_maxrss) / 1024.0, std::move(kernels)};
}

std::string ProcessReport::to_text() const {
  Json list = Json::array();
  for (const KernelReport& kernel : kernels) list.push_back({kernel.op, kernel.problem, kernel.pass, kernel.provider});
  return Json{{"host", host}, {"peak_memory_mib", peak_memory_mib}, {"kernels", list}}.dump();
}

ProcessReport ProcessReport::from_text(std::string_view text) {
  const Json json = Json::parse(text);
  ProcessReport report{json.at("host"), json.at("peak_memory_mib"), {}};
  for (const Json& kernel : json.at("kernels")) {
    report.kernels.push_back({kernel.at(0), kernel.at(1), kernel.at(2), kernel.at(3), {}});
  }
  return report;
}

}  // namespace apam::training
