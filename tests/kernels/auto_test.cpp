// `auto` with scripted clocks: its choices, what it stores on disk, and how it uses stored decisions.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/ops/kernel.h"
#include "kernels/tuning_cache.h"
#include "tests/kernels/tuning_file.h"
#include "tests/support/temporary_folder.h"

namespace apam::kernels {
namespace {

/// A clock that runs the work and reports these times in turn: on an idle machine, or disturbed by other work.
RunClock scripted(std::vector<double> milliseconds, bool disturbed = false) {
  return [=, call = std::make_shared<std::size_t>(0)](const std::function<void()>& work) {
    work();
    const double taken = milliseconds[(*call)++ % milliseconds.size()];
    return disturbed ? Taken{2 * taken, taken, 5} : Taken{taken, taken, 0};
  };
}

const RunClock kFirstWins = scripted({10, 20}), kSecondWins = scripted({20, 10});

/// The report on a small convolution, which most providers support.
KernelReport choose(ExecOptions options, int images = 2) {
  Exec exec(std::move(options));
  kernel<Conv2d>(exec, {.n = images, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1}, Conv2d::Pass::forward);
  return exec.report().at(0);
}
KernelReport choose(const std::filesystem::path& folder, int images = 2, RunClock clock = kFirstWins) {
  return choose({.tuning_cache = folder, .clock = std::move(clock)}, images);
}

class Auto : public testing::Test {
 protected:
  void SetUp() override {
    measured = choose(folder.path());
    if (measured.measured.times.size() != 2) GTEST_SKIP() << "the scripts are for two providers";
  }
  nlohmann::json stored() const { return tuning_content(folder.path()); }

  support::TemporaryFolder folder;
  KernelReport measured;
};

TEST_F(Auto, takes_the_first_of_the_table_unless_another_leads) {
  const auto all = implementations<Conv2d>();
  const auto first =
      std::find_if(all.begin(), all.end(), [](const auto& one) { return one.device == DeviceKind::cpu; })->provider;
  EXPECT_EQ(measured.provider, first);
  EXPECT_EQ(choose("", 2, scripted({10, 9.8})).provider, first);
  EXPECT_NE(choose("", 2, kSecondWins).provider, first);
}

TEST_F(Auto, reports_times_load_and_date) {
  EXPECT_EQ(measured.measured.times[0].milliseconds, 10);
  EXPECT_EQ(measured.measured.times[1].milliseconds, 20);
  EXPECT_EQ(measured.measured.times[0].spread, 0);
  EXPECT_GE(measured.measured.load, 0);
  EXPECT_EQ(measured.measured.date.size(), std::string("2026-01-31T12:00:00Z").size());
  EXPECT_FALSE(measured.measured.doubtful);
}

TEST_F(Auto, does_not_store_doubtful_results) {
  const auto before = stored();
  const auto doubtful = choose(folder.path(), 3, scripted({20, 10}, true));
  EXPECT_TRUE(doubtful.measured.doubtful);
  EXPECT_EQ(doubtful.provider, measured.provider) << "the table's first";
  EXPECT_EQ(doubtful.measured.times.size(), 2U);
  EXPECT_EQ(stored(), before);
  EXPECT_FALSE(choose(folder.path(), 3).measured.doubtful) << "the next Exec times it again";
}

TEST_F(Auto, ignores_doubtful_entries) {
  auto content = stored();
  content.begin().value().at("doubtful") = true;
  std::ofstream(tuning_file(folder.path())) << content;
  EXPECT_FALSE(choose(folder.path()).measured.doubtful);
  EXPECT_FALSE(stored().begin().value().at("doubtful"));
}

TEST_F(Auto, retimes_on_request) {
  const auto retime = [&](const RunClock& clock) {
    return choose({.tuning_cache = folder.path(), .retime = true, .clock = clock});
  };
  EXPECT_EQ(choose(folder.path(), 2, kSecondWins).provider, measured.provider) << "the decision is in the file";
  const auto again = retime(kSecondWins);
  EXPECT_NE(again.provider, measured.provider);
  EXPECT_EQ(stored().begin().value().at("provider"), again.provider);
  EXPECT_TRUE(retime(scripted({1, 1}, true)).measured.doubtful);
  EXPECT_EQ(stored().begin().value().at("provider"), again.provider) << "a doubtful result replaces nothing";
}

TEST_F(Auto, times_in_memory_if_the_file_is_locked) {
  TuningCache other(folder.path());
  const auto turn = other.take_turn();
  const auto before = stored();
  testing::internal::CaptureStderr();
  Exec exec({.tuning_cache = folder.path(), .cache_patience = std::chrono::milliseconds(50), .clock = kSecondWins});
  for (const int images : {4, 5}) {
    kernel<Conv2d>(exec, {.n = images, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1}, Conv2d::Pass::forward);
    EXPECT_NE(exec.report().back().provider, measured.provider);
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(said.starts_with("kernel cache: waited 0.1 s for process ")) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_EQ(stored(), before);
}

TEST_F(Auto, keeps_nothing_of_the_losers) {
  constexpr Conv2d::Problem kProblem{.n = 8, .h = 16, .w = 16, .c = 64, .k = 64, .r = 3, .s = 3, .padding = 1};
  for (const auto& implementation : implementations<Conv2d>()) {
    if (implementation.provider == "reference" || implementation.device != DeviceKind::cpu) continue;
    const bool first = implementation.provider == measured.provider;
    Exec compared({.clock = first ? kFirstWins : kSecondWins});
    kernel<Conv2d>(compared, kProblem, Conv2d::Pass::forward);
    ASSERT_EQ(compared.report().at(0).provider, implementation.provider);
    Exec named;
    const auto kernel = implementation.make(named, kProblem, Conv2d::Pass::forward);
    EXPECT_EQ(compared.workspace_bytes(), named.workspace_bytes()) << implementation.provider;
  }
}

TEST_F(Auto, keeps_its_timings) {
  ASSERT_EQ(stored().size(), 1U);
  EXPECT_EQ(stored().begin().key(), "conv2d | 2x8x8x16 -> 16, 3x3, stride 1, padding 1 | forward | cpu | 1 threads");
  EXPECT_EQ(stored().begin().value().at("provider"), measured.provider);
  for (const ProviderTime& time : measured.measured.times) {
    EXPECT_EQ(stored().begin().value().at("milliseconds").at(time.provider).get<double>(), time.milliseconds);
  }
}

TEST_F(Auto, does_not_time_stored_problems) {
  // A second run follows another decision in the file. Its times of seconds show that it did not measure.
  auto content = stored();
  auto& entry = content.begin().value();
  for (auto& [provider, milliseconds] : entry.at("milliseconds").items()) {
    milliseconds = provider == measured.provider ? 5000.0 : 2000.0;
    if (provider != measured.provider) entry.at("provider") = provider;
  }
  std::ofstream(tuning_file(folder.path())) << content;
  const auto looked_up = choose(folder.path());
  EXPECT_NE(looked_up.provider, measured.provider);
  for (const ProviderTime& time : looked_up.measured.times) {
    EXPECT_EQ(time.milliseconds, time.provider == measured.provider ? 5000.0 : 2000.0);
  }
  EXPECT_EQ(stored(), content);
}

TEST_F(Auto, times_again_if_a_provider_is_missing) {
  auto content = stored();
  content.begin().value().at("milliseconds").erase(measured.provider);
  std::ofstream(tuning_file(folder.path())) << content;
  choose(folder.path());
  EXPECT_TRUE(stored().begin().value().at("milliseconds").contains(measured.provider));
}

TEST_F(Auto, times_again_if_the_file_is_damaged) {
  std::ofstream(tuning_file(folder.path())) << "{ damaged";
  EXPECT_EQ(choose(folder.path()).measured.times.size(), measured.measured.times.size());
  EXPECT_EQ(stored().size(), 1U);
}

TEST_F(Auto, times_each_problem_separately) {
  choose(folder.path(), 3);
  EXPECT_EQ(stored().size(), 2U);
}

}  // namespace
}  // namespace apam::kernels
