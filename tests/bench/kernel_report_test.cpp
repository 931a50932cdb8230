// The report of bench/kernels on given timings.
#include "bench/kernel_report.h"

#include <gtest/gtest.h>

namespace apam::bench {
namespace {

constexpr Limits kLimits{.gflops = 200, .gbytes = 20, .fastest = "avx2"};

/// 1 GFLOP and 0.01 GB; the native kernel takes `native` milliseconds, oneDNN's `vendor`.
KernelRow row(const std::string& name, double native, double vendor, const std::string& chosen) {
  return {.op = "conv2d",
          .name = name,
          .problem = "1x1",
          .pass = "forward",
          .flops = 1e9,
          .bytes = 1e7,
          .arithmetic = true,
          .times = {{"native", native, native}, {"onednn", vendor, vendor}},
          .chosen = chosen};
}

TEST(KernelReport, rates_are_shares_of_the_limiting_peak) {
  KernelRow arithmetic = row("a", 10, 20, "native");
  EXPECT_DOUBLE_EQ(arithmetic.rate(arithmetic.times[0]), 100);
  EXPECT_DOUBLE_EQ(arithmetic.share(arithmetic.times[0], kLimits).value(), 0.5);
  KernelRow memory = arithmetic;
  memory.arithmetic = false;
  EXPECT_DOUBLE_EQ(memory.rate(memory.times[0]), 1);
  EXPECT_DOUBLE_EQ(memory.share(memory.times[0], kLimits).value(), 0.05);
}

TEST(KernelReport, has_no_share_of_a_peak_that_was_not_measured) {
  constexpr Limits kOfGpu{.gbytes = 4000};
  const KernelRow arithmetic = row("a", 10, 20, "native");
  EXPECT_EQ(arithmetic.share(arithmetic.times[0], kOfGpu), std::nullopt);
  EXPECT_EQ(heading(arithmetic, kOfGpu), "\nconv2d: GFLOP/s of the direct method\n");
  EXPECT_EQ(line(arithmetic, kOfGpu).find('('), std::string::npos);
  const auto json = to_json({arithmetic}, kOfGpu);
  EXPECT_FALSE(json.contains("fma_peak_gflops"));
  EXPECT_FALSE(json["rows"][0].contains("share_of_limit"));
  EXPECT_EQ(json["rows"][0]["gflops"], 100);
}

TEST(KernelReport, compares_with_cudnn_per_operation_and_pass) {
  std::vector<KernelRow> rows{row("a", 10, 40, ""), row("b", 10, 10, ""), row("c", 20, 10, "")};
  for (KernelRow& one : rows) one.times[1].provider = "cudnn";
  rows[1].pass = "backward_weight";
  rows[2].op = "batch_norm";
  EXPECT_DOUBLE_EQ(compare(rows, "conv2d", "native", "cudnn", "backward_weight").geometric_mean, 1);
  const std::string text = summary(rows);
  EXPECT_NE(text.find("\nconv2d, native / cudnn: 2.00 (geometric mean over 2 rows)"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  forward: 4.00 (geometric mean over 1 rows)"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  backward_weight: 1.00 (geometric mean over 1 rows)"), std::string::npos) << text;
  EXPECT_NE(text.find("\nbatch_norm, native / cudnn: 0.50 (geometric mean over 1 rows)"), std::string::npos) << text;
  EXPECT_EQ(text.find("onednn"), std::string::npos) << text;
  EXPECT_NE(line(rows[0], kLimits).find("native/cudnn  4.00"), std::string::npos);
  const auto json = to_json(rows, kLimits);
  EXPECT_EQ(json["conv2d"]["native_to_cudnn"]["passes"]["forward"]["geometric_mean"], 4);
  EXPECT_EQ(json["batch_norm"]["native_to_cudnn"]["of_time"], 0.5);
  EXPECT_EQ(json["rows"][0]["to_cudnn"], 4);
}

TEST(KernelReport, auto_is_the_chosen_provider) {
  EXPECT_EQ(row("a", 10, 20, "onednn").best("auto"), 20);
  EXPECT_EQ(row("a", 10, 20, "native").speedup("auto", "onednn"), 2);
  EXPECT_EQ(row("a", 10, 20, "").best("auto"), std::nullopt);
}

TEST(KernelReport, compares_by_the_geometric_mean) {
  std::vector<KernelRow> rows{row("a", 10, 40, "native"), row("b", 10, 10, "native"), row("c", 20, 10, "onednn")};
  rows.push_back(row("another operation", 1, 100, "native"));
  rows.back().op = "linear";
  const Comparison native = compare(rows, "conv2d", "native", "onednn");
  EXPECT_EQ(native.rows, 3);
  EXPECT_NEAR(native.geometric_mean, 1.259921, 1e-6);  // cube root of 4 * 1 * 1/2
  EXPECT_DOUBLE_EQ(native.worst, 0.5);
  EXPECT_EQ(native.worst_row, "conv2d/c/forward");
  EXPECT_NEAR(compare(rows, "conv2d", "auto", "onednn").geometric_mean, 1.587401, 1e-6);
}

TEST(KernelReport, compares_by_layers_and_by_total_time) {
  std::vector<KernelRow> rows{row("a", 10, 40, "native"), row("b", 30, 15, "native")};
  rows[0].layers = 3;
  const Comparison native = compare(rows, "conv2d", "native", "onednn");
  EXPECT_EQ(native.layers, 4);
  EXPECT_NEAR(native.geometric_mean, 1.414214, 1e-6);  // square root of 4 * 1/2
  EXPECT_NEAR(native.of_layers, 2.378414, 1e-6);       // fourth root of 4^3 * 1/2
  EXPECT_DOUBLE_EQ(native.of_time, 135.0 / 60);
  EXPECT_NE(summary(rows).find("1.41 (geometric mean over 2 rows), 2.38 (over 4 layer passes), 2.25 (total time)"),
            std::string::npos);
  const auto json = to_json(rows, kLimits);
  EXPECT_EQ(json["conv2d"]["native_to_onednn"]["layers"], 4);
  EXPECT_EQ(json["conv2d"]["native_to_onednn"]["geometric_mean_of_layers"], native.of_layers);
  EXPECT_EQ(json["conv2d"]["native_to_onednn"]["of_time"], native.of_time);
  EXPECT_EQ(json["rows"][0]["layers"], 3);
}

TEST(KernelReport, does_not_count_refused_kernels) {
  KernelRow refused = row("a", 10, 40, "native");
  refused.times[0] = {.provider = "native", .objection = "is wrong: y"};
  EXPECT_EQ(refused.best("native"), std::nullopt);
  EXPECT_EQ(compare({refused}, "conv2d", "native", "onednn").rows, 0);
  const std::string text = line(refused, kLimits);
  EXPECT_NE(text.find("refused"), std::string::npos);
  EXPECT_NE(text.find("\n    native: is wrong: y\n"), std::string::npos);
  const auto json = to_json({refused}, kLimits);
  EXPECT_EQ(json["rows"][0]["refused"], "is wrong: y");
  EXPECT_FALSE(json["rows"][0].contains("gflops"));
  EXPECT_EQ(json["rows"][1]["gflops"], 25);
}

TEST(KernelReport, has_no_comparison_without_the_vendor) {
  KernelRow alone = row("a", 10, 40, "");
  alone.times.pop_back();
  EXPECT_EQ(summary({alone}), "");
  EXPECT_EQ(line(alone, kLimits).find("native/"), std::string::npos);
}

}  // namespace
}  // namespace apam::bench
