#include "bench/kernel_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace apam::bench {
namespace {

constexpr std::array<std::string_view, 2> kVendors{"onednn", "cudnn"};
constexpr std::array<std::string_view, 3> kCompared{"native", "tma", "auto"};

std::string title(const KernelRow& row) { return fmt::format("{}/{}/{}", row.op, row.name, row.pass); }

std::string in_words(const Comparison& comparison) {
  return fmt::format(
      "{:.2f} (geometric mean over {} rows), {:.2f} (over {} layer passes), {:.2f} (total time), worst {:.2f} ({})",
      comparison.geometric_mean, comparison.rows, comparison.of_layers, comparison.layers, comparison.of_time, comparison.worst,
      comparison.worst_row);
}

/// The different values of a member, in order of first appearance.
std::vector<std::string> all_of(const std::vector<KernelRow>& rows, std::string KernelRow::*member, std::string_view op = {}) {
  std::vector<std::string> found;
  for (const KernelRow& row : rows) {
    if (!op.empty() && row.op != op) continue;
    if (std::find(found.begin(), found.end(), row.*member) == found.end()) found.push_back(row.*member);
  }
  return found;
}

/// Calls visit(op, provider, vendor, comparison) for all pairs with rows.
template <class Visit>
void for_comparisons(const std::vector<KernelRow>& rows, const Visit& visit) {
  for (const std::string& op : all_of(rows, &KernelRow::op)) {
    for (const std::string_view vendor : kVendors) {
      for (const std::string_view provider : kCompared) {
        const Comparison comparison = compare(rows, op, provider, vendor);
        if (comparison.rows > 0) visit(op, provider, vendor, comparison);
      }
    }
  }
}

nlohmann::ordered_json to_json(const Comparison& comparison) {
  return {{"rows", comparison.rows},
          {"layers", comparison.layers},
          {"geometric_mean", comparison.geometric_mean},
          {"geometric_mean_of_layers", comparison.of_layers},
          {"of_time", comparison.of_time},
          {"least", comparison.worst},
          {"least_row", comparison.worst_row}};
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
  std::string limit = row.arithmetic ? "GFLOP/s of the direct method" : "GB/s of compulsory traffic";
  if (row.arithmetic && limits.gflops > 0) {
    limit += fmt::format(" and share of the FMA peak, {:.0f} GFLOP/s ({})", limits.gflops, limits.fastest);
  } else if (!row.arithmetic) {
    limit += fmt::format(" and share of memcpy, {:.1f} GB/s", limits.gbytes);
  }
  return fmt::format("\n{}: {}\n", row.op, limit);
}

std::string line(const KernelRow& row, const Limits& limits) {
  std::string text = fmt::format("{:<36}{:<18}", row.name, row.pass);
  std::string objections;
  for (const ProviderTime& time : row.times) {
    if (time.objection.empty()) {
      const auto share = row.share(time, limits);
      text += fmt::format(" {:<9}{:>8.1f} {:<7}", time.provider, row.rate(time), share ? fmt::format("({:.2f})", *share) : "");
    } else {
      text += fmt::format(" {:<9}{:>8} {:<7}", time.provider, "refused", "");
      objections += fmt::format("    {}: {}\n", time.provider, time.objection);
    }
  }
  for (const std::string_view vendor : kVendors) {
    if (const auto ratio = row.speedup("native", vendor)) text += fmt::format(" native/{} {:>5.2f}", vendor, *ratio);
  }
  if (!row.chosen.empty()) text += fmt::format("  auto: {}", row.chosen);
  return fmt::format("{}  {}\n{}", text, row.problem, objections);
}

Comparison compare(const std::vector<KernelRow>& rows, std::string_view op, std::string_view provider, std::string_view base,
                   std::string_view pass) {
  Comparison comparison{.worst = 1e30};
  double logarithms = 0, of_layers = 0, time = 0, base_time = 0;
  for (const KernelRow& row : rows) {
    const auto ratio = row.speedup(provider, base);
    if (row.op != op || !(pass.empty() || row.pass == pass) || !ratio) continue;
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
  for_comparisons(rows, [&](const std::string& op, std::string_view provider, std::string_view vendor, const Comparison& all) {
    text += fmt::format("{}, {} / {}: {}\n", op, provider, vendor, in_words(all));
    for (const std::string& pass : all_of(rows, &KernelRow::pass, op)) {
      const Comparison one = compare(rows, op, provider, vendor, pass);
      if (one.rows > 0 && one.rows < all.rows) text += fmt::format("  {}: {}\n", pass, in_words(one));
    }
  });
  return text.empty() ? text : '\n' + text;
}

nlohmann::ordered_json to_json(const std::vector<KernelRow>& rows, const Limits& limits) {
  using Json = nlohmann::ordered_json;
  Json json{{"isa", limits.fastest}, {"memcpy_gbytes_per_second", limits.gbytes}};
  if (limits.gflops > 0) json["fma_peak_gflops"] = limits.gflops;
  for_comparisons(rows, [&](const std::string& op, std::string_view provider, std::string_view vendor, const Comparison& all) {
    Json& entry = json[op][fmt::format("{}_to_{}", provider, vendor)] = to_json(all);
    for (const std::string& pass : all_of(rows, &KernelRow::pass, op)) {
      const Comparison one = compare(rows, op, provider, vendor, pass);
      if (one.rows > 0) entry["passes"][pass] = to_json(one);
    }
  });
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
        if (const auto share = row.share(time, limits)) entry["share_of_limit"] = *share;
        for (const std::string_view vendor : kVendors) {
          if (const auto ratio = row.speedup(time.provider, vendor)) entry[fmt::format("to_{}", vendor)] = *ratio;
        }
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
