// Timings of providers on disk: kept, shared, and never in the way.
#include "kernels/tuning_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
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

TEST(TuningCache, finds_what_was_stored) {
  const support::TemporaryFolder folder;
  TuningCache(folder.path()).store("a", {{"ours", 1.5}, {"onednn", 2.5}});
  TuningCache(folder.path()).store("b", {{"ours", 3.0}});
  const TuningCache cache(folder.path());
  EXPECT_EQ(cache.find("a"), (Timings{{"onednn", 2.5}, {"ours", 1.5}}));
  EXPECT_EQ(cache.find("b"), (Timings{{"ours", 3.0}}));
  EXPECT_TRUE(cache.find("c").empty());
}

TEST(TuningCache, makes_its_folder) {
  const support::TemporaryFolder folder;
  TuningCache(folder.path() / "deep" / "er").store("a", {{"ours", 1}});
  EXPECT_FALSE(TuningCache(folder.path() / "deep" / "er").find("a").empty());
}

TEST(TuningCache, survives_a_damaged_file) {
  for (const char* damage :
       {"", "{\"a\": {\"ours\": 1", "[1, 2]", "null", "{\"a\": 7}", "{\"a\": {\"ours\": \"fast\"}}", "\xff\xfe"}) {
    SCOPED_TRACE(damage);
    const support::TemporaryFolder folder;
    std::ofstream(file_in(folder.path())) << damage;
    TuningCache cache(folder.path());
    EXPECT_TRUE(cache.find("a").empty());
    cache.store("a", {{"ours", 2}});
    EXPECT_EQ(cache.find("a"), (Timings{{"ours", 2}}));
  }
}

TEST(TuningCache, without_a_folder_keeps_nothing) {
  TuningCache cache("");
  cache.store("a", {{"ours", 1}});
  EXPECT_TRUE(cache.find("a").empty());
}

TEST(TuningCache, without_a_place_to_write_keeps_nothing) {
  const support::TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "not a folder";
  TuningCache cache(folder.path() / "file");
  cache.store("a", {{"ours", 1}});
  EXPECT_TRUE(cache.find("a").empty());
}

TEST(TuningCache, lets_one_user_at_a_time_look_time_and_store) {
  const support::TemporaryFolder folder;
  std::atomic<bool> released = false;
  auto first = std::make_unique<TuningCache>(folder.path());
  std::thread second([&] {
    const TuningCache waiting(folder.path());
    EXPECT_TRUE(released);
    EXPECT_EQ(waiting.find("a"), (Timings{{"ours", 1}}));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // time enough for the second to come to the lock
  first->store("a", {{"ours", 1}});
  released = true;
  first.reset();
  second.join();
}

TEST(TuningCache, machine_has_a_name) { EXPECT_FALSE(cpu_model().empty()); }

/// An operation and pass that two providers other than the naive loops can do, as `auto` sees it: the kernel's report.
KernelReport choose(const std::filesystem::path& folder, std::int64_t size) {
  Exec exec({.tuning_cache = folder});
  kernel<Relu>(exec, {.size = size}, Relu::Pass::forward);
  return exec.report().at(0);
}

TEST(Auto, keeps_its_timings_and_does_not_time_again) {
  const support::TemporaryFolder folder;
  const auto measured = choose(folder.path(), 4096);
  if (measured.timings.size() < 2) GTEST_SKIP() << "one provider only: nothing to time";
  auto content = read(file_in(folder.path()));
  ASSERT_EQ(content.size(), 1U);
  EXPECT_TRUE(content.begin().key().starts_with("relu | 4096 | forward | cpu | 1 threads")) << content.begin().key();
  // With other numbers in the file, a second run decides by them: it cannot have measured 1000 and 2000 milliseconds.
  auto& timings = content.begin().value();
  ASSERT_EQ(timings.size(), measured.timings.size());
  double milliseconds = 2000;
  std::string slowest;
  for (auto& [provider, time] : timings.items()) {
    time = provider == measured.provider ? 5000.0 : milliseconds;
    milliseconds -= 500;
  }
  std::ofstream(file_in(folder.path())) << content;
  const auto looked_up = choose(folder.path(), 4096);
  EXPECT_NE(looked_up.provider, measured.provider);
  for (const auto& [provider, time] : looked_up.timings) EXPECT_EQ(time, timings[provider].get<double>());
  EXPECT_EQ(read(file_in(folder.path())), content);
}

TEST(Auto, times_again_what_a_damaged_file_lost) {
  const support::TemporaryFolder folder;
  std::ofstream(file_in(folder.path())) << "{ damaged";
  const auto measured = choose(folder.path(), 4096);
  if (measured.timings.size() < 2) GTEST_SKIP() << "one provider only: nothing to time";
  EXPECT_EQ(read(file_in(folder.path())).size(), 1U);
}

TEST(Auto, times_each_problem_of_its_own) {
  const support::TemporaryFolder folder;
  const auto measured = choose(folder.path(), 4096);
  choose(folder.path(), 8192);
  if (measured.timings.size() < 2) GTEST_SKIP() << "one provider only: nothing to time";
  EXPECT_EQ(read(file_in(folder.path())).size(), 2U);
}

}  // namespace
}  // namespace apam::kernels
