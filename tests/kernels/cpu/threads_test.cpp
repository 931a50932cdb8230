// Native kernels on every instruction set: results on one thread are within tolerance of the naive loops in double, and results
// on any number of threads are the same bit for bit.
#include <gtest/gtest.h>

#include <bit>

#include "kernels/cpu/make.h"
#include "kernels/cpu/streaming.h"
#include "tests/cases/cases.h"
#include "tests/kernels/cpu/each_isa.h"
#include "tests/support/kernel_check.h"
#include "tests/support/operation_types.h"
#include "tests/support/verify.h"

namespace apam::kernels::cpu {
namespace {

/// Large enough for every way of splitting work: several blocks of rows, chunks of a weight gradient, groups of panels.
template <class Op>
std::vector<cases::Case<Op>> large_cases() {
  return {};
}
template <>
std::vector<cases::Case<Conv2d>> large_cases() {
  return {
      {"several_chunks", {.n = 9, .h = 17, .w = 17, .c = 20, .k = 24, .r = 3, .s = 3, .padding = 1}},
      {"several_chunks_stride_2", {.n = 16, .h = 32, .w = 31, .c = 5, .k = 9, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      {"deep_sum_few_pixels", {.n = 1, .h = 4, .w = 4, .c = 520, .k = 200, .r = 3, .s = 3, .padding = 1}},
      // Winograd: many tiles in chunks and groups; few tiles of many channels, by panels; all paddings; odd channels.
      {"tiles", {.n = 10, .h = 32, .w = 30, .c = 20, .k = 18, .r = 3, .s = 3, .padding = 1}},
      {"tiles_unpadded", {.n = 7, .h = 21, .w = 23, .c = 33, .k = 17, .r = 3, .s = 3}},
      {"small_tiles", {.n = 60, .h = 9, .w = 6, .c = 35, .k = 18, .r = 3, .s = 3, .padding = 1}},
      {"small_tiles_unpadded", {.n = 40, .h = 8, .w = 5, .c = 20, .k = 70, .r = 3, .s = 3}},
      {"tiles_padded_by_2", {.n = 9, .h = 5, .w = 6, .c = 16, .k = 70, .r = 3, .s = 3, .padding = 2}},
      {"tiles_by_panels", {.n = 17, .h = 4, .w = 4, .c = 150, .k = 130, .r = 3, .s = 3, .padding = 1}},
      {"tiles_many_channels", {.n = 3, .h = 10, .w = 9, .c = 300, .k = 40, .r = 3, .s = 3, .padding = 1}},
      {"tiles_stride_2", {.n = 10, .h = 32, .w = 30, .c = 20, .k = 50, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      {"tiles_stride_2_odd", {.n = 9, .h = 19, .w = 33, .c = 35, .k = 17, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      {"tiles_stride_2_unpadded", {.n = 7, .h = 22, .w = 17, .c = 17, .k = 33, .r = 3, .s = 3, .stride = 2}},
      {"tiles_stride_2_padded_by_2", {.n = 9, .h = 9, .w = 12, .c = 16, .k = 70, .r = 3, .s = 3, .stride = 2, .padding = 2}},
      {"tiles_stride_2_many_channels",
       {.n = 18, .h = 8, .w = 7, .c = 150, .k = 200, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      // Weight gradients in several blocks, some partial, and several groups of several chunks.
      {"tiles_blocks_and_groups", {.n = 12, .h = 20, .w = 20, .c = 100, .k = 130, .r = 3, .s = 3, .padding = 1}},
      {"tiles_blocks_and_groups_stride_2",
       {.n = 25, .h = 24, .w = 24, .c = 100, .k = 130, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      {"narrow_strips", {.n = 70, .h = 9, .w = 7, .c = 3, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"narrow_strips_stride_2", {.n = 3, .h = 40, .w = 33, .c = 2, .k = 48, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      {"narrow", {.n = 9, .h = 17, .w = 17, .c = 3, .k = 40, .r = 3, .s = 3, .padding = 1}}};
}
template <>
std::vector<cases::Case<BatchNorm>> large_cases() {
  return {{"several_blocks", {.rows = 3001, .c = 40, .residual = true, .relu = true}}};
}

template <class Op>
std::vector<cases::Case<Op>> all_cases() {
  auto all = cases::in_each_type(cases::edge_cases<Op>());
  for (auto& one : large_cases<Op>()) all.push_back(std::move(one));
  return all;
}

using Values = std::vector<std::vector<float>>;

/// The outputs of a pass on `threads` threads.
template <class Op>
Values run(support::KernelCheck<Op>& samples, const typename Op::Problem& problem, typename Op::Pass pass, const Isa& isa,
           int threads, Write write = Write::overwrite) {
  Exec exec({.threads = threads});
  const auto kernel = make(exec, problem, pass, isa);
  samples.prepare(pass, write);
  samples.run(exec, *kernel, pass, write);
  EXPECT_TRUE(samples.fences_intact());
  Values values;
  for (const auto& output : samples.outputs(pass)) {
    values.push_back(support::on_host(output.values));
  }
  return values;
}

void expect_close(const std::vector<support::CheckedOutput>& outputs, const std::vector<std::vector<double>>& expected,
                  const Values& actual) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const support::Tolerance tolerance(outputs[i].terms,
                                       std::max(outputs[i].magnitude, support::root_mean_square(expected[i])));
    for (std::size_t e = 0; e < actual[i].size(); ++e) {
      const double allowed = tolerance.of(expected[i][e]);
      ASSERT_NEAR(double{actual[i][e]}, expected[i][e], allowed + outputs[i].storage_rounding(expected[i][e], allowed))
          << outputs[i].name << '[' << e << ']';
    }
  }
}

void expect_same_bits(const Values& expected, const Values& actual) {
  ASSERT_EQ(expected.size(), actual.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    for (std::size_t e = 0; e < actual[i].size(); ++e) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(expected[i][e]), std::bit_cast<std::uint32_t>(actual[i][e]))
          << "output " << i << '[' << e << "]: " << expected[i][e] << " != " << actual[i][e];
    }
  }
}

template <class Op>
class EachIsa : public testing::Test {};
TYPED_TEST_SUITE(EachIsa, support::OperationTypes, support::OperationName);

template <class Op>
void check(const cases::Case<Op>& named, std::uint64_t seed) {
  const auto& problem = named.problem;
  Exec exec;
  support::KernelCheck<Op> samples(exec, problem, seed);
  for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
    const auto pass = static_cast<typename Op::Pass>(index);
    samples.prepare(pass);
    const auto expected = samples.expected(pass);
    for (const Isa* isa : isas_for(problem)) {
      SCOPED_TRACE(
          fmt::format("{} {} {} on {}, seed {}", named.name, problem.describe(), Op::pass_names[index], isa->name, seed));
      const Values one = run<Op>(samples, problem, pass, *isa, 1);
      expect_close(samples.outputs(pass), expected, one);
      for (const int threads : {2, 5}) expect_same_bits(one, run<Op>(samples, problem, pass, *isa, threads));
    }
  }
}

template <class Op>
void check_all(const std::vector<cases::Case<Op>>& all, std::initializer_list<std::uint64_t> seeds) {
  if constexpr (Offered<Op>) {
    for (const std::uint64_t seed : seeds) {
      for (const auto& named : all) check<Op>(named, seed);
    }
  } else {
    GTEST_SKIP() << "no native kernels";
  }
}

TYPED_TEST(EachIsa, is_right_and_the_same_on_any_number_of_threads) {
  check_all<TypeParam>(cases::in_each_type(cases::edge_cases<TypeParam>()), {0});
}

TYPED_TEST(EachIsa, is_right_and_the_same_for_large_problems) { check_all<TypeParam>(large_cases<TypeParam>(), {0}); }

TYPED_TEST(EachIsa, is_right_for_other_values) { check_all<TypeParam>(cases::edge_cases<TypeParam>(), {1, 2}); }

/// Several groups of tiles, added to old values.
TEST(WeightGradient, adds_the_same_on_any_number_of_threads) {
  for (const auto& named : large_cases<Conv2d>()) {
    if (!named.name.starts_with("tiles_blocks_and_groups")) continue;
    const auto gradient = [&](const Isa& isa, int threads, Write write) {
      Exec exec;
      support::KernelCheck<Conv2d> samples(exec, named.problem);  // draws the same old values again
      return run<Conv2d>(samples, named.problem, Conv2d::Pass::backward_weight, isa, threads, write);
    };
    for (const Isa* isa : available_isas()) {
      SCOPED_TRACE(fmt::format("{} on {}", named.name, isa->name));
      const Values one = gradient(*isa, 1, Write::add);
      EXPECT_NE(one, gradient(*isa, 1, Write::overwrite));
      for (const int threads : {2, 5}) expect_same_bits(one, gradient(*isa, threads, Write::add));
    }
  }
}

/// Results that are large enough for non-temporal stores; and added to old values, without them.
template <class Op>
void check_streamed(const std::vector<cases::Case<Op>>& named_cases) {
  for (const auto& named : named_cases) {
    const auto& problem = named.problem;
    Exec exec({.threads = 2});
    support::KernelCheck<Op> samples(exec, problem);
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      samples.prepare(pass);
      const auto expected = samples.expected(pass);
      for (const Isa* isa : isas_for(problem)) {
        SCOPED_TRACE(fmt::format("{} {} {} on {}", named.name, problem.describe(), Op::pass_names[index], isa->name));
        const auto kernel = make(exec, problem, pass, *isa);
        EXPECT_EQ(support::verify(exec, samples, *kernel, pass, expected, Write::overwrite), "");
        EXPECT_EQ(support::verify(exec, samples, *kernel, pass, expected, Write::add), "");
      }
    }
  }
}

TEST(Streaming, convolutions_match_the_reference) {
  check_streamed<Conv2d>(
      {{"gathered", {.n = 16, .h = 32, .w = 32, .c = 8, .k = 64, .r = 3, .s = 3, .padding = 1}},
       {"gathered_gradient", {.n = 16, .h = 32, .w = 32, .c = 64, .k = 8, .r = 3, .s = 3, .padding = 1}},
       {"tiles", {.n = 12, .h = 32, .w = 32, .c = 96, .k = 18, .r = 3, .s = 3, .padding = 1}},
       {"small_tiles", {.n = 120, .h = 6, .w = 6, .c = 16, .k = 256, .r = 3, .s = 3, .padding = 1}},
       {"1x1_stride_2", {.n = 8, .h = 64, .w = 64, .c = 32, .k = 9, .r = 1, .s = 1, .stride = 2}},
       {"stride_2", {.n = 16, .h = 64, .w = 64, .c = 16, .k = 64, .r = 3, .s = 3, .stride = 2, .padding = 1}},
       {"1x1", {.n = 16, .h = 32, .w = 32, .c = 8, .k = 80, .r = 1, .s = 1}},
       {"narrow", {.n = 16, .h = 32, .w = 32, .c = 3, .k = 64, .r = 3, .s = 3, .padding = 1}}});
}

TEST(Streaming, batch_norm_matches_the_reference) {
  check_streamed<BatchNorm>(
      {{"residual_relu", {.rows = 33001, .c = 32, .residual = true, .relu = true}}, {"bare", {.rows = 33001, .c = 32}}});
}

TEST(Streaming, requires_a_large_result_of_whole_cache_lines) {
  alignas(64) static float values[32];
  constexpr std::int64_t kRows = kMinStreamedBytes / (16 * std::int64_t{sizeof(float)});
  EXPECT_TRUE(worth_streaming(values, kRows, 16));
  EXPECT_FALSE(worth_streaming(values, kRows - 1, 16));
  EXPECT_FALSE(worth_streaming(values, kRows, 24));
  EXPECT_FALSE(worth_streaming(values + 4, kRows, 16));
}

TEST(Workspace, is_reserved_on_construction) {
  for (const auto& named : all_cases<Conv2d>()) {
    for (const auto pass : {Conv2d::Pass::forward, Conv2d::Pass::backward_input, Conv2d::Pass::backward_weight}) {
      Exec exec({.threads = 3});
      support::KernelCheck<Conv2d> samples(exec, named.problem);
      const auto kernel = make(exec, named.problem, pass, default_isa());
      const auto before = Buffer::allocations();
      samples.run(exec, *kernel, pass);
      EXPECT_EQ(Buffer::allocations(), before) << named.name;
    }
  }
}

}  // namespace
}  // namespace apam::kernels::cpu
