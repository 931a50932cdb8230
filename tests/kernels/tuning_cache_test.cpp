// Decisions on disk: stored, shared between processes, and never an obstacle.
#include "kernels/tuning_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "kernels/providers.h"
#include "tests/kernels/tuning_file.h"
#include "tests/support/temporary_folder.h"

namespace apam::kernels {
namespace {

/// A decision for "native" with this time.
KernelDecision native(double milliseconds) {
  return {"native", {{{"native", milliseconds, 0.5}, {"onednn", milliseconds + 1, 0.25}}, 0.75, "2026-01-31T12:00:00Z", false}};
}

void store(const std::filesystem::path& folder, const std::string& key, const KernelDecision& decision) {
  TuningCache cache(folder);
  cache.store(cache.take_turn(), key, decision);
}

std::optional<KernelDecision> find(const std::filesystem::path& folder, const std::string& key) {
  return TuningCache(folder).find(key);
}

TEST(TuningCache, finds_what_was_stored) {
  const support::TemporaryFolder folder;
  store(folder.path(), "a", native(1.5));
  store(folder.path(), "b", native(3));
  EXPECT_EQ(find(folder.path(), "a"), native(1.5));
  EXPECT_EQ(find(folder.path(), "b"), native(3));
  EXPECT_FALSE(find(folder.path(), "c"));
}

TEST(TuningCache, makes_its_folder) {
  const support::TemporaryFolder folder;
  store(folder.path() / "deep" / "er", "a", native(1));
  EXPECT_TRUE(find(folder.path() / "deep" / "er", "a"));
}

TEST(TuningCache, keeps_platforms_apart) {
  const support::TemporaryFolder folder;
  TuningCache cache(folder.path(), {}, "-NVIDIA H200-cudnn-9.19.0");
  cache.store(cache.take_turn(), "a", native(1));
  EXPECT_TRUE(cache.find("a"));
  EXPECT_TRUE(TuningCache(folder.path(), {}, "-NVIDIA H200-cudnn-9.19.0").find("a"));
  EXPECT_FALSE(TuningCache(folder.path(), {}, "-NVIDIA H200-cudnn-9.20.0").find("a"));
  EXPECT_FALSE(find(folder.path(), "a"));
}

TEST(TuningCache, has_a_file_per_instruction_set) {
  const support::TemporaryFolder folder;
  std::string isa(cpu::instruction_set());
  std::replace(isa.begin(), isa.end(), '_', '-');
  const std::string name = tuning_file(folder.path()).filename().string();
  EXPECT_NE(name.find("-" + isa + "."), std::string::npos) << name;
}

TEST(TuningCache, survives_a_damaged_file) {
  for (const char* damage : {"", "{\"a\": {\"native\": 1", "[1, 2]", "null", "{\"a\": 7}", "\xff\xfe"}) {
    SCOPED_TRACE(damage);
    const support::TemporaryFolder folder;
    std::ofstream(tuning_file(folder.path())) << damage;
    EXPECT_FALSE(find(folder.path(), "a"));
    store(folder.path(), "a", native(2));
    EXPECT_EQ(find(folder.path(), "a"), native(2));
  }
}

TEST(TuningCache, ignores_a_malformed_entry) {
  const support::TemporaryFolder folder;
  store(folder.path(), "a", native(1));
  store(folder.path(), "b", native(2));
  const auto good = tuning_content(folder.path());
  const auto found_with = [&](const char* member, const nlohmann::json& value) {
    auto content = good;
    content["a"][nlohmann::json::json_pointer(member)] = value;
    std::ofstream(tuning_file(folder.path())) << content;
    EXPECT_EQ(find(folder.path(), "b"), native(2)) << "other entries are valid";
    return find(folder.path(), "a").has_value();
  };
  EXPECT_TRUE(found_with("/milliseconds/native", 1.0));
  EXPECT_FALSE(found_with("/milliseconds/native", -1.0));
  EXPECT_FALSE(found_with("/milliseconds/native", 0.0));
  EXPECT_FALSE(found_with("/milliseconds/native", "fast"));
  EXPECT_FALSE(found_with("/milliseconds/native", nullptr));  // how JSON writes a NaN
  EXPECT_FALSE(found_with("/milliseconds/third", 1.0)) << "it has no spread";
  EXPECT_FALSE(found_with("/milliseconds", 1.0));
  EXPECT_FALSE(found_with("/spread/native", -0.5));
  EXPECT_FALSE(found_with("/spread", nlohmann::json::array()));
  EXPECT_FALSE(found_with("/provider", 1));
  EXPECT_FALSE(found_with("/provider", "third"));
  EXPECT_FALSE(found_with("/load", "high"));
  EXPECT_FALSE(found_with("/load", -1));
  EXPECT_FALSE(found_with("/date", 20260131));
  EXPECT_FALSE(found_with("/doubtful", 0));
}

TEST(TuningCache, stores_nothing_without_a_folder) {
  store("", "a", native(1));
  EXPECT_FALSE(find("", "a"));
}

/// The lines that a cache reports.
struct Said {
  std::vector<std::string> lines;
  CachePatience patience(int limit, int report_after) {
    return {std::chrono::milliseconds(limit), std::chrono::milliseconds(report_after),
            [this](const std::string& line) { lines.push_back(line); }};
  }
};

TEST(TuningCache, reports_once_that_it_cannot_write) {
  const support::TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "not a folder";
  Said said;
  TuningCache cache(folder.path() / "file", said.patience(1000, 1000));
  for (int i = 0; i < 2; ++i) {
    const auto turn = cache.take_turn();
    EXPECT_FALSE(turn.held());
    cache.store(turn, "a", native(1));
  }
  EXPECT_FALSE(cache.find("a"));
  ASSERT_EQ(said.lines.size(), 1U);
  EXPECT_NE(said.lines[0].find("Not a directory"), std::string::npos) << said.lines[0];
}

/// During its lifetime, files of this process cannot grow beyond this many bytes, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(TuningCache, a_full_disk_keeps_the_old_file) {
  const support::TemporaryFolder folder;
  for (const char* key : {"a", "b", "c", "d"}) store(folder.path(), key, native(1));
  const auto before = tuning_content(folder.path());
  Said said;
  TuningCache cache(folder.path(), said.patience(1000, 1000));
  {
    const FullDisk full(200);
    for (const char* key : {"e", "f"}) cache.store(cache.take_turn(), key, native(2));
  }
  EXPECT_EQ(tuning_content(folder.path()), before);
  ASSERT_EQ(said.lines.size(), 1U);
  EXPECT_NE(said.lines[0].find(tuning_file(folder.path()).string()), std::string::npos) << said.lines[0];
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_TRUE(entry.path() == tuning_file(folder.path()) || entry.path().extension() == ".lock") << entry.path();
  }
}

TEST(TuningCache, gives_turns_to_one_process_at_a_time) {
  const support::TemporaryFolder folder;
  std::atomic<bool> released = false;
  TuningCache first(folder.path());
  auto turn = std::make_unique<TuningCache::Turn>(first.take_turn());
  ASSERT_TRUE(turn->held());
  std::thread second([&] {
    TuningCache waiting(folder.path());
    EXPECT_TRUE(waiting.take_turn().held());
    EXPECT_TRUE(released);
    EXPECT_EQ(waiting.find("a"), native(1));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // time enough for the second to come to the lock
  first.store(*turn, "a", native(1));
  released = true;
  turn.reset();
  second.join();
}

TEST(TuningCache, a_lookup_does_not_wait) {
  const support::TemporaryFolder folder;
  store(folder.path(), "a", native(1));
  TuningCache first(folder.path());
  const auto turn = first.take_turn();
  EXPECT_TRUE(find(folder.path(), "a"));
}

TEST(TuningCache, reports_which_process_holds_the_lock) {
  const support::TemporaryFolder folder;
  TuningCache first(folder.path());
  const auto turn = first.take_turn();
  Said said;
  TuningCache second(folder.path(), said.patience(100, 40));
  for (int i = 0; i < 3; ++i) {
    const auto none = second.take_turn();  // only the first of them waits
    EXPECT_FALSE(none.held());
    second.store(none, "a", native(1));
  }
  EXPECT_FALSE(second.find("a"));
  ASSERT_EQ(said.lines.size(), 2U);
  EXPECT_TRUE(said.lines[0].starts_with("kernel cache: waiting for process")) << said.lines[0];
  EXPECT_TRUE(said.lines[1].starts_with("kernel cache: waited 0.1 s for process")) << said.lines[1];
  for (const auto& line : said.lines) {
    EXPECT_NE(line.find(fmt::format("process {} on ", ::getpid())), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

TEST(TuningCache, a_short_wait_is_silent) {
  const support::TemporaryFolder folder;
  TuningCache first(folder.path());
  auto turn = std::make_unique<TuningCache::Turn>(first.take_turn());
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    turn.reset();
  });
  Said said;
  TuningCache second(folder.path(), said.patience(60'000, 30'000));
  EXPECT_TRUE(second.take_turn().held());
  release.join();
  EXPECT_TRUE(said.lines.empty());
}

TEST(TuningCache, give_up_ends_the_wait) {
  const support::TemporaryFolder folder;
  TuningCache first(folder.path());
  const auto turn = first.take_turn();
  Said said;
  CachePatience patience = said.patience(60'000, 60'000);
  int asked = 0;
  patience.give_up = [&] { return ++asked > 2; };
  TuningCache second(folder.path(), patience);
  EXPECT_FALSE(second.take_turn().held());
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(said.lines.size(), 1U);
}

TEST(TuningCache, a_signal_ends_the_wait) {
  const support::TemporaryFolder folder;
  TuningCache first(folder.path());
  const auto turn = first.take_turn();
  struct sigaction handler {
  }, before{};
  handler.sa_handler = [](int) {};
  handler.sa_flags = SA_RESTART;  // a handler that restarts blocking calls
  ASSERT_EQ(::sigaction(SIGUSR1, &handler, &before), 0);
  Said said;
  TuningCache second(folder.path(), said.patience(60'000, 60'000));
  std::atomic<bool> waiting = true;
  const pthread_t self = ::pthread_self();
  std::thread sender([&] {
    while (waiting) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (waiting) ::pthread_kill(self, SIGUSR1);
    }
  });
  EXPECT_FALSE(second.take_turn().held());
  waiting = false;
  sender.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_EQ(said.lines.size(), 1U);
  EXPECT_NE(said.lines[0].find("signal"), std::string::npos) << said.lines[0];
}

TEST(TuningCache, machine_has_a_name) { EXPECT_FALSE(cpu_model().empty()); }

}  // namespace
}  // namespace apam::kernels
