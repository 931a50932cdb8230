// What bench/kernels prints and writes: a line for each problem and pass with the rates of all providers, and at the end
// how `native` and `auto` stand against oneDNN over all convolutions: problem by problem, layer by layer, and by the time that
// all layers take together.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace apam::bench {

/// What the machine can do at most (bench/machine).
struct Limits {
  double gflops = 0;           ///< multiply-adds
  double gbytes = 0;           ///< memcpy, read + written
  std::string_view fastest{};  ///< the instruction set that reaches `gflops`
};

struct ProviderTime {
  std::string provider;
  double best = 0, median = 0;  ///< milliseconds, over rounds in which the providers alternate
  std::string objection{};      ///< why it was not timed
};

/// One pass of one problem.
struct KernelRow {
  std::string op, name, problem, pass;
  double flops = 0, bytes = 0;  ///< operations of the direct method; bytes that must move at least
  bool arithmetic = false;      ///< limited by multiply-adds, else by memory
  int layers = 1;               ///< of the nets that have the problem
  std::vector<ProviderTime> times{};
  std::string chosen{};  ///< what `auto` takes; empty where there is nothing to choose

  /// Milliseconds of a provider (or of "auto": of what it takes); nothing where it was not timed.
  std::optional<double> best(std::string_view provider) const;
  /// How many times as fast as `base` a provider is; nothing where one of them was not timed.
  std::optional<double> speedup(std::string_view provider, std::string_view base) const;
  /// 10^9 operations (or bytes) a second, and as a share of what the machine can do.
  double rate(const ProviderTime& time) const { return (arithmetic ? flops : bytes) / time.best * 1e-6; }
  double share(const ProviderTime& time, const Limits& limits) const {
    return rate(time) / (arithmetic ? limits.gflops : limits.gbytes);
  }
};

/// One line of the table, and the lines above the first of an operation.
std::string heading(const KernelRow& row, const Limits& limits);
std::string line(const KernelRow& row, const Limits& limits);

/// Speedups of one provider over another: all rows of `op` that have both.
struct Comparison {
  int rows = 0, layers = 0;   ///< a layer counts once for each pass
  double geometric_mean = 0;  ///< every row once
  double of_layers = 0;       ///< geometric mean, every row as often as there are layers
  double of_time = 0;         ///< ratio of the times that all layers take, one after the other
  double worst = 0;
  std::string worst_row{};
};
Comparison compare(const std::vector<KernelRow>& rows, std::string_view op, std::string_view provider, std::string_view base);

/// The lines at the end: `native` and `auto` against oneDNN, and `auto` against the fastest.
std::string summary(const std::vector<KernelRow>& rows);

nlohmann::ordered_json to_json(const std::vector<KernelRow>& rows, const Limits& limits);

}  // namespace apam::bench
