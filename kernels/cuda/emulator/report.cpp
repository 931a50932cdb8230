#include "kernels/cuda/emulator/report.h"

#include <fmt/format.h>

#include <algorithm>

namespace apam::kernels::cuda::emulator {

std::string name_of(const Site& site) {
  const std::string_view path = site.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), site.line());
}

bool Report::mentions(std::string_view text) const {
  return std::any_of(findings.begin(), findings.end(),
                     [&](const auto& finding) { return finding.first.find(text) != std::string::npos; });
}

std::string Report::text() const {
  std::string lines;
  for (const auto& [what, times] : findings) lines += fmt::format("{}{} ({} times)", lines.empty() ? "" : "; ", what, times);
  return lines;
}

}  // namespace apam::kernels::cuda::emulator
