#include "bench/kernel_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace apam::bench {
namespace {

constexpr std::string_view kVendor = "onednn";

std::string title(const KernelRow& row) { return fmt::format("{}/{}/{}", row.op, row.name, row.pass); }

std::string in_words(const Comparison& comparison) {
  return fmt::format(
      "{:.2f} (geometric mean over {} rows), {:.2f} (over {} layer passes), {:.2f} (total time), worst {:.2f} ({})",
      comparison.geometric_mean, comparison.rows, comparison.of_layers, comparison.layers, comparison.of_time, comparison.worst,
      comparison.worst_row);
}

}  // namespace

std::optional<double> KernelRow::best(std::string_view provider) const {
  if (provider == "auto") provider = chosen;
  for (const ProviderTime& time : times) {
    if (time.provider == provider && time.objection.empty()) return time.best;
  }
  return {};
}

std::optional<double> KernelRow::speedup(std::string_view provider, std::string_view base) const {
  const auto time = best(provider);
  const auto base_time = best(base);
  if (!time || !base_time) return {};
  return *base_time / *time;
}

std::string heading(const KernelRow& row, const Limits& limits) {
  const std::string limit = row.arithmetic
                                ? fmt::format("GFLOP/s of the direct method and share of the FMA peak, {:.0f} GFLOP/s ({})",
                                              limits.gflops, limits.fastest)
                                : fmt::format("GB/s of compulsory traffic and share of memcpy, {:.1f} GB/s", limits.gbytes);
  return fmt::format("\n{}: {}\n", row.op, limit);
}

std::string line(const KernelRow& row, const Limits& limits) {
  std::string text = fmt::format("{:<36}{:<18}", row.name, row.pass);
  std::string objections;
  for (const ProviderTime& time : row.times) {
    if (time.objection.empty()) {
      text +=
          fmt::format(" {:<9}{:>7.1f} {:<8}", time.provider, row.rate(time), fmt::format("({:.2f})", row.share(time, limits)));
    } else {
      text += fmt::format(" {:<9}{:>7} {:<8}", time.provider, "refused", "");
      objections += fmt::format("    {}: {}\n", time.provider, time.objection);
    }
  }
  if (const auto ratio = row.speedup("native", kVendor)) text += fmt::format(" native/{} {:>5.2f}", kVendor, *ratio);
  if (!row.chosen.empty()) text += fmt::format("  auto: {}", row.chosen);
  return fmt::format("{}  {}\n{}", text, row.problem, objections);
}

Comparison compare(const std::vector<KernelRow>& rows, std::string_view op, std::string_view provider, std::string_view base) {
  Comparison comparison{.worst = 1e30};
  double logarithms = 0, of_layers = 0, time = 0, base_time = 0;
  for (const KernelRow& row : rows) {
    const auto ratio = row.speedup(provider, base);
    if (row.op != op || !ratio) continue;
    ++comparison.rows;
    comparison.layers += row.layers;
    logarithms += std::log(*ratio);
    of_layers += row.layers * std::log(*ratio);
    time += row.layers * *row.best(provider);
    base_time += row.layers * *row.best(base);
    if (*ratio < comparison.worst) {
      comparison.worst = *ratio;
      comparison.worst_row = title(row);
    }
  }
  if (comparison.rows == 0) return comparison;
  comparison.geometric_mean = std::exp(logarithms / comparison.rows);
  comparison.of_layers = std::exp(of_layers / comparison.layers);
  comparison.of_time = base_time / time;
  return comparison;
}

std::string summary(const std::vector<KernelRow>& rows) {
  std::string text;
  for (const std::string_view provider : {"native", "auto"}) {
    const auto comparison = compare(rows, "conv2d", provider, kVendor);
    if (comparison.rows > 0) text += fmt::format("conv2d, {} / {}: {}\n", provider, kVendor, in_words(comparison));
  }
  return text.empty() ? text : '\n' + text;
}

nlohmann::ordered_json to_json(const std::vector<KernelRow>& rows, const Limits& limits) {
  using Json = nlohmann::ordered_json;
  Json json{{"fma_peak_gflops", limits.gflops}, {"isa", limits.fastest}, {"memcpy_gbytes_per_second", limits.gbytes}};
  json["conv2d"] = Json::object();
  for (const std::string_view provider : {"native", "auto"}) {
    const auto comparison = compare(rows, "conv2d", provider, kVendor);
    if (comparison.rows == 0) continue;
    json["conv2d"][fmt::format("{}_to_{}", provider, kVendor)] = {{"rows", comparison.rows},
                                                                  {"layers", comparison.layers},
                                                                  {"geometric_mean", comparison.geometric_mean},
                                                                  {"geometric_mean_of_layers", comparison.of_layers},
                                                                  {"of_time", comparison.of_time},
                                                                  {"least", comparison.worst},
                                                                  {"least_row", comparison.worst_row}};
  }
  json["rows"] = Json::array();
  for (const KernelRow& row : rows) {
    for (const ProviderTime& time : row.times) {
      Json entry{{"op", row.op},         {"case", row.name}, {"problem", row.problem},
                 {"layers", row.layers}, {"pass", row.pass}, {"provider", time.provider}};
      if (time.objection.empty()) {
        entry["milliseconds"] = {{"best", time.best}, {"median", time.median}};
        entry["gflops"] = row.flops / time.best * 1e-6;
        entry["gbytes_per_second"] = row.bytes / time.best * 1e-6;
        entry["limit"] = row.arithmetic ? "fma" : "memcpy";
        entry["share_of_limit"] = row.share(time, limits);
        if (const auto ratio = row.speedup(time.provider, kVendor)) entry[fmt::format("to_{}", kVendor)] = *ratio;
        entry["auto"] = time.provider == row.chosen;
      } else {
        entry["refused"] = time.objection;
      }
      json["rows"].push_back(std::move(entry));
    }
  }
  return json;
}

}  // namespace apam::bench
