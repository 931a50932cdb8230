// Timings of providers on disk: kept, shared, and never in the way.
#include "kernels/tuning_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "kernels/ops/all.h"
#include "tests/support/temporary_folder.h"

namespace apam::kernels {
namespace {

nlohmann::json read(const std::filesystem::path& file) { return nlohmann::json::parse(std::ifstream(file)); }

/// The one file of timings in a folder.
std::filesystem::path file_in(const std::filesystem::path& folder) { return TuningCache(folder).file(); }

/// A decision for "ours", which took so many milliseconds.
KernelDecision ours(double milliseconds) {
  return {"ours", {{{"onednn", milliseconds + 1, 0.25}, {"ours", milliseconds, 0.5}}, 0.75, "2026-01-31T12:00:00Z", false}};
}

TEST(TuningCache, finds_what_was_stored) {
  const support::TemporaryFolder folder;
  TuningCache(folder.path()).store("a", ours(1.5));
  TuningCache(folder.path()).store("b", ours(3));
  const TuningCache cache(folder.path());
  EXPECT_EQ(cache.find("a"), ours(1.5));
  EXPECT_EQ(cache.find("b"), ours(3));
  EXPECT_FALSE(cache.find("c"));
}

TEST(TuningCache, makes_its_folder) {
  const support::TemporaryFolder folder;
  TuningCache(folder.path() / "deep" / "er").store("a", ours(1));
  EXPECT_TRUE(TuningCache(folder.path() / "deep" / "er").find("a"));
}

TEST(TuningCache, keeps_instruction_sets_apart) {
  const support::TemporaryFolder folder;
  TuningCache(folder.path()).store("a", ours(1));
  const char* before = std::getenv("APAM_ISA");
  const std::string isa = before == nullptr ? "" : before;
  setenv("APAM_ISA", (isa + "x").c_str(), 1);
  EXPECT_FALSE(TuningCache(folder.path()).find("a"));
  before == nullptr ? unsetenv("APAM_ISA") : setenv("APAM_ISA", isa.c_str(), 1);
  EXPECT_TRUE(TuningCache(folder.path()).find("a"));
}

TEST(TuningCache, survives_a_damaged_file) {
  for (const char* damage :
       {"", "{\"a\": {\"ours\": 1", "[1, 2]", "null", "{\"a\": 7}", "{\"a\": {\"ours\": \"fast\"}}", "\xff\xfe"}) {
    SCOPED_TRACE(damage);
    const support::TemporaryFolder folder;
    std::ofstream(file_in(folder.path())) << damage;
    TuningCache cache(folder.path());
    EXPECT_FALSE(cache.find("a"));
    cache.store("a", ours(2));
    EXPECT_EQ(cache.find("a"), ours(2));
  }
}

TEST(TuningCache, without_a_folder_keeps_nothing) {
  TuningCache cache("");
  cache.store("a", ours(1));
  EXPECT_FALSE(cache.find("a"));
}

TEST(TuningCache, without_a_place_to_write_keeps_nothing) {
  const support::TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "not a folder";
  TuningCache cache(folder.path() / "file");
  cache.store("a", ours(1));
  EXPECT_FALSE(cache.find("a"));
}

TEST(TuningCache, lets_one_user_at_a_time_look_time_and_store) {
  const support::TemporaryFolder folder;
  std::atomic<bool> released = false;
  auto first = std::make_unique<TuningCache>(folder.path());
  std::thread second([&] {
    const TuningCache waiting(folder.path());
    EXPECT_TRUE(released);
    EXPECT_EQ(waiting.find("a"), ours(1));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // time enough for the second to come to the lock
  first->store("a", ours(1));
  released = true;
  first.reset();
  second.join();
}

TEST(TuningCache, machine_has_a_name) { EXPECT_FALSE(cpu_model().empty()); }

/// What `auto` says about a small convolution, the operation that most providers have.
KernelReport choose(const std::filesystem::path& folder, int images) {
  Exec exec({.tuning_cache = folder});
  kernel<Conv2d>(exec, {.n = images, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1}, Conv2d::Pass::forward);
  return exec.report().at(0);
}

class Auto : public testing::Test {
 protected:
  void SetUp() override {
    measured = choose(folder.path(), 2);
    if (measured.measured.times.size() < 2) GTEST_SKIP() << "one provider only in this build: nothing to time";
  }
  nlohmann::json stored() const { return read(file_in(folder.path())); }

  support::TemporaryFolder folder;
  KernelReport measured;
};

TEST_F(Auto, keeps_its_timings) {
  ASSERT_EQ(stored().size(), 1U);
  EXPECT_EQ(stored().begin().key(), "conv2d | 2x8x8x16 -> 16, 3x3, stride 1, padding 1 | forward | cpu | 1 threads");
  EXPECT_EQ(stored().begin().value().at("provider"), measured.provider);
  for (const ProviderTime& time : measured.measured.times) {
    EXPECT_EQ(stored().begin().value().at("milliseconds").at(time.provider).get<double>(), time.milliseconds);
  }
}

TEST_F(Auto, does_not_time_again_what_it_finds) {
  // With another decision in the file, a second run goes by it. It cannot have measured seconds itself.
  auto content = stored();
  auto& entry = content.begin().value();
  for (auto& [provider, milliseconds] : entry.at("milliseconds").items()) {
    milliseconds = provider == measured.provider ? 5000.0 : 2000.0;
    if (provider != measured.provider) entry.at("provider") = provider;
  }
  std::ofstream(file_in(folder.path())) << content;
  const auto looked_up = choose(folder.path(), 2);
  EXPECT_NE(looked_up.provider, measured.provider);
  for (const ProviderTime& time : looked_up.measured.times) {
    EXPECT_EQ(time.milliseconds, time.provider == measured.provider ? 5000.0 : 2000.0);
  }
  EXPECT_EQ(stored(), content);
}

TEST_F(Auto, times_again_where_a_provider_is_missing) {
  auto content = stored();
  content.begin().value().at("milliseconds").erase(measured.provider);
  std::ofstream(file_in(folder.path())) << content;
  choose(folder.path(), 2);
  EXPECT_TRUE(stored().begin().value().at("milliseconds").contains(measured.provider));
}

TEST_F(Auto, times_again_what_a_damaged_file_lost) {
  std::ofstream(file_in(folder.path())) << "{ damaged";
  EXPECT_EQ(choose(folder.path(), 2).measured.times.size(), measured.measured.times.size());
  EXPECT_EQ(stored().size(), 1U);
}

TEST_F(Auto, times_each_problem_of_its_own) {
  choose(folder.path(), 3);
  EXPECT_EQ(stored().size(), 2U);
}

}  // namespace
}  // namespace apam::kernels
