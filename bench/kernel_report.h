// The report of bench/kernels: one line per problem and pass with the rates of all providers, then a summary that compares the
// native kernels and `auto` with a vendor's library, oneDNN or cuDNN, per operation and pass: per problem, per layer, and by
// the total time of all layers.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace apam::bench {

/// Peak rates of the machine (bench/machine).
struct Limits {
  double gflops = 0;           ///< multiply-adds; 0 if it was not measured
  double gbytes = 0;           ///< memcpy, bytes read + bytes written
  std::string_view fastest{};  ///< the instruction set that reaches `gflops`
};

struct ProviderTime {
  std::string provider;
  double best = 0, median = 0;  ///< milliseconds per call
  std::string objection{};      ///< why it was not timed; empty if it was
};

/// One pass of one problem.
struct KernelRow {
  std::string op, name, problem, pass;
  double flops = 0, bytes = 0;  ///< operations of the direct method; compulsory memory traffic
  bool arithmetic = false;      ///< bound by multiply-adds, otherwise by memory
  int layers = 1;               ///< number of layers with this problem, over all nets
  std::vector<ProviderTime> times{};
  std::string chosen{};  ///< the provider that `auto` chooses; empty if there is only one

  /// Milliseconds of a provider ("auto": of the chosen one); nullopt if it was not timed.
  std::optional<double> best(std::string_view provider) const;
  /// Time of `base` / time of `provider`; nullopt if either was not timed.
  std::optional<double> speedup(std::string_view provider, std::string_view base) const;
  /// GFLOP/s (memory bound: GB/s), and as a share of the peak; nullopt if that was not measured.
  double rate(const ProviderTime& time) const { return (arithmetic ? flops : bytes) / time.best * 1e-6; }
  std::optional<double> share(const ProviderTime& time, const Limits& limits) const {
    const double peak = arithmetic ? limits.gflops : limits.gbytes;
    return peak > 0 ? std::optional(rate(time) / peak) : std::nullopt;
  }
};

/// The heading of an operation's table, and one line of it.
std::string heading(const KernelRow& row, const Limits& limits);
std::string line(const KernelRow& row, const Limits& limits);

/// Speedups of one provider over another, over all rows of `op` (and `pass`, unless that is empty) with timings of both.
struct Comparison {
  int rows = 0, layers = 0;   ///< a layer counts once per pass
  double geometric_mean = 0;  ///< over rows
  double of_layers = 0;       ///< geometric mean over layers: a row counts `layers` times
  double of_time = 0;         ///< ratio of the total times of all layers
  double worst = 0;
  std::string worst_row{};
};
Comparison compare(const std::vector<KernelRow>& rows, std::string_view op, std::string_view provider, std::string_view base,
                   std::string_view pass = {});

/// The summary: native kernels and `auto` compared with each vendor's library that has rows.
std::string summary(const std::vector<KernelRow>& rows);

nlohmann::ordered_json to_json(const std::vector<KernelRow>& rows, const Limits& limits);

}  // namespace apam::bench
