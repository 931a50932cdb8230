// Timings of providers on disk: kept, shared, and never in the way.
#include "kernels/tuning_cache.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
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

void store(const std::filesystem::path& folder, const std::string& key, const KernelDecision& decision) {
  TuningCache cache(folder);
  cache.store(cache.take_turn(), key, decision);
}

std::optional<KernelDecision> find(const std::filesystem::path& folder, const std::string& key) {
  return TuningCache(folder).find(key);
}

TEST(TuningCache, finds_what_was_stored) {
  const support::TemporaryFolder folder;
  store(folder.path(), "a", ours(1.5));
  store(folder.path(), "b", ours(3));
  EXPECT_EQ(find(folder.path(), "a"), ours(1.5));
  EXPECT_EQ(find(folder.path(), "b"), ours(3));
  EXPECT_FALSE(find(folder.path(), "c"));
}

TEST(TuningCache, makes_its_folder) {
  const support::TemporaryFolder folder;
  store(folder.path() / "deep" / "er", "a", ours(1));
  EXPECT_TRUE(find(folder.path() / "deep" / "er", "a"));
}

TEST(TuningCache, keeps_instruction_sets_apart) {
  const support::TemporaryFolder folder;
  store(folder.path(), "a", ours(1));
  const char* before = std::getenv("APAM_ISA");
  const std::string isa = before == nullptr ? "" : before;
  setenv("APAM_ISA", (isa + "x").c_str(), 1);
  EXPECT_FALSE(find(folder.path(), "a"));
  before == nullptr ? unsetenv("APAM_ISA") : setenv("APAM_ISA", isa.c_str(), 1);
  EXPECT_TRUE(find(folder.path(), "a"));
}

TEST(TuningCache, survives_a_damaged_file) {
  for (const char* damage : {"", "{\"a\": {\"ours\": 1", "[1, 2]", "null", "{\"a\": 7}", "\xff\xfe"}) {
    SCOPED_TRACE(damage);
    const support::TemporaryFolder folder;
    std::ofstream(file_in(folder.path())) << damage;
    EXPECT_FALSE(find(folder.path(), "a"));
    store(folder.path(), "a", ours(2));
    EXPECT_EQ(find(folder.path(), "a"), ours(2));
  }
}

TEST(TuningCache, a_malformed_entry_is_none) {
  const support::TemporaryFolder folder;
  store(folder.path(), "a", ours(1));
  store(folder.path(), "b", ours(2));
  const auto good = read(file_in(folder.path()));
  const auto found_with = [&](const char* member, const nlohmann::json& value) {
    auto content = good;
    content["a"][nlohmann::json::json_pointer(member)] = value;
    std::ofstream(file_in(folder.path())) << content;
    EXPECT_EQ(find(folder.path(), "b"), ours(2)) << "other entries count";
    return find(folder.path(), "a").has_value();
  };
  EXPECT_TRUE(found_with("/milliseconds/ours", 1.0));
  EXPECT_FALSE(found_with("/milliseconds/ours", -1.0));
  EXPECT_FALSE(found_with("/milliseconds/ours", 0.0));
  EXPECT_FALSE(found_with("/milliseconds/ours", "fast"));
  EXPECT_FALSE(found_with("/milliseconds/ours", nullptr));  // how JSON writes a NaN
  EXPECT_FALSE(found_with("/milliseconds/third", 1.0)) << "it has no spread";
  EXPECT_FALSE(found_with("/milliseconds", 1.0));
  EXPECT_FALSE(found_with("/spread/ours", -0.5));
  EXPECT_FALSE(found_with("/spread", nlohmann::json::array()));
  EXPECT_FALSE(found_with("/provider", 1));
  EXPECT_FALSE(found_with("/provider", "third"));
  EXPECT_FALSE(found_with("/load", "high"));
  EXPECT_FALSE(found_with("/load", -1));
  EXPECT_FALSE(found_with("/date", 20260131));
  EXPECT_FALSE(found_with("/doubtful", 0));
}

TEST(TuningCache, without_a_folder_keeps_nothing) {
  store("", "a", ours(1));
  EXPECT_FALSE(find("", "a"));
}

/// What a cache says, line by line.
struct Said {
  std::vector<std::string> lines;
  CachePatience patience(int limit, int word_after) {
    return {std::chrono::milliseconds(limit), std::chrono::milliseconds(word_after),
            [this](const std::string& line) { lines.push_back(line); }};
  }
};

TEST(TuningCache, without_a_place_to_write_says_so_once_and_keeps_nothing) {
  const support::TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "not a folder";
  Said said;
  TuningCache cache(folder.path() / "file", said.patience(1000, 1000));
  for (int i = 0; i < 2; ++i) {
    const auto turn = cache.take_turn();
    EXPECT_FALSE(turn.held());
    cache.store(turn, "a", ours(1));
  }
  EXPECT_FALSE(cache.find("a"));
  ASSERT_EQ(said.lines.size(), 1U);
  EXPECT_NE(said.lines[0].find("Not a directory"), std::string::npos) << said.lines[0];
}

/// While it lives, files of this process cannot grow beyond so many bytes, as on a full disk.
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

TEST(TuningCache, a_full_disk_leaves_the_file_whole) {
  const support::TemporaryFolder folder;
  for (const char* key : {"a", "b", "c", "d"}) store(folder.path(), key, ours(1));
  const auto before = read(file_in(folder.path()));
  Said said;
  TuningCache cache(folder.path(), said.patience(1000, 1000));
  {
    const FullDisk full(200);
    for (const char* key : {"e", "f"}) cache.store(cache.take_turn(), key, ours(2));
  }
  EXPECT_EQ(read(file_in(folder.path())), before);
  ASSERT_EQ(said.lines.size(), 1U);
  EXPECT_NE(said.lines[0].find(file_in(folder.path()).string()), std::string::npos) << said.lines[0];
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_TRUE(entry.path() == file_in(folder.path()) || entry.path().extension() == ".lock") << entry.path();
  }
}

TEST(TuningCache, lets_one_user_at_a_time_look_time_and_store) {
  const support::TemporaryFolder folder;
  std::atomic<bool> released = false;
  TuningCache first(folder.path());
  auto turn = std::make_unique<TuningCache::Turn>(first.take_turn());
  ASSERT_TRUE(turn->held());
  std::thread second([&] {
    TuningCache waiting(folder.path());
    EXPECT_TRUE(waiting.take_turn().held());
    EXPECT_TRUE(released);
    EXPECT_EQ(waiting.find("a"), ours(1));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // time enough for the second to come to the lock
  first.store(*turn, "a", ours(1));
  released = true;
  turn.reset();
  second.join();
}

TEST(TuningCache, who_looks_up_waits_for_no_turn) {
  const support::TemporaryFolder folder;
  store(folder.path(), "a", ours(1));
  TuningCache first(folder.path());
  const auto turn = first.take_turn();
  EXPECT_TRUE(find(folder.path(), "a"));
}

TEST(TuningCache, patience_ends_with_a_word_about_who_holds_the_lock) {
  const support::TemporaryFolder folder;
  TuningCache first(folder.path());
  const auto turn = first.take_turn();
  Said said;
  TuningCache second(folder.path(), said.patience(100, 40));
  for (int i = 0; i < 3; ++i) {
    const auto none = second.take_turn();  // only the first of them waits
    EXPECT_FALSE(none.held());
    second.store(none, "a", ours(1));
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

TEST(TuningCache, a_signal_ends_the_wait) {
  const support::TemporaryFolder folder;
  TuningCache first(folder.path());
  const auto turn = first.take_turn();
  struct sigaction handler {
  }, before{};
  handler.sa_handler = [](int) {};
  handler.sa_flags = SA_RESTART;  // as the program's own handlers
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
  EXPECT_NE(said.lines[0].find("a signal came"), std::string::npos) << said.lines[0];
}

TEST(TuningCache, machine_has_a_name) { EXPECT_FALSE(cpu_model().empty()); }

/// A clock that runs the work and says that the provider at `kernel` of the table took so long on an idle machine, or that
/// other work disturbed it.
RunClock scripted(std::vector<double> milliseconds, bool disturbed = false) {
  return [=, call = std::make_shared<std::size_t>(0)](const std::function<void()>& work) {
    work();
    const double taken = milliseconds[(*call)++ % milliseconds.size()];
    return disturbed ? Taken{2 * taken, taken, 5} : Taken{taken, taken, 0};
  };
}

const RunClock kFirstWins = scripted({10, 20}), kSecondWins = scripted({20, 10});

/// What `auto` says about a small convolution, the operation that most providers have.
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
  nlohmann::json stored() const { return read(file_in(folder.path())); }

  support::TemporaryFolder folder;
  KernelReport measured;
};

TEST_F(Auto, takes_the_first_of_the_table_or_who_leads_it) {
  const auto first = implementations<Conv2d>().front().provider;
  EXPECT_EQ(measured.provider, first);
  EXPECT_EQ(choose("", 2, scripted({10, 9.8})).provider, first);
  EXPECT_NE(choose("", 2, kSecondWins).provider, first);
}

TEST_F(Auto, says_what_it_measured_and_when) {
  EXPECT_EQ(measured.measured.times[0].milliseconds, 10);
  EXPECT_EQ(measured.measured.times[1].milliseconds, 20);
  EXPECT_EQ(measured.measured.times[0].spread, 0);
  EXPECT_GE(measured.measured.load, 0);
  EXPECT_EQ(measured.measured.date.size(), std::string("2026-01-31T12:00:00Z").size());
  EXPECT_FALSE(measured.measured.doubtful);
}

TEST_F(Auto, does_not_store_what_is_doubtful) {
  const auto before = stored();
  const auto doubtful = choose(folder.path(), 3, scripted({20, 10}, true));
  EXPECT_TRUE(doubtful.measured.doubtful);
  EXPECT_EQ(doubtful.provider, measured.provider) << "the table's first";
  EXPECT_EQ(doubtful.measured.times.size(), 2U);
  EXPECT_EQ(stored(), before);
  EXPECT_FALSE(choose(folder.path(), 3).measured.doubtful) << "it is timed again as soon as the machine is quiet";
}

TEST_F(Auto, takes_no_doubtful_entry_for_an_answer) {
  auto content = stored();
  content.begin().value().at("doubtful") = true;
  std::ofstream(file_in(folder.path())) << content;
  EXPECT_FALSE(choose(folder.path()).measured.doubtful);
  EXPECT_FALSE(stored().begin().value().at("doubtful"));
}

TEST_F(Auto, retimes_when_asked) {
  const auto retime = [&](const RunClock& clock) {
    return choose({.tuning_cache = folder.path(), .retime = true, .clock = clock});
  };
  EXPECT_EQ(choose(folder.path(), 2, kSecondWins).provider, measured.provider) << "the file has it";
  const auto again = retime(kSecondWins);
  EXPECT_NE(again.provider, measured.provider);
  EXPECT_EQ(stored().begin().value().at("provider"), again.provider);
  EXPECT_TRUE(retime(scripted({1, 1}, true)).measured.doubtful);
  EXPECT_EQ(stored().begin().value().at("provider"), again.provider) << "what is doubtful replaces nothing";
}

TEST_F(Auto, times_in_memory_when_the_file_is_not_free) {
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

TEST_F(Auto, leaves_nothing_of_those_that_lost) {
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

TEST_F(Auto, does_not_time_again_what_it_finds) {
  // With another decision in the file, a second run goes by it. It cannot have measured seconds itself.
  auto content = stored();
  auto& entry = content.begin().value();
  for (auto& [provider, milliseconds] : entry.at("milliseconds").items()) {
    milliseconds = provider == measured.provider ? 5000.0 : 2000.0;
    if (provider != measured.provider) entry.at("provider") = provider;
  }
  std::ofstream(file_in(folder.path())) << content;
  const auto looked_up = choose(folder.path());
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
  choose(folder.path());
  EXPECT_TRUE(stored().begin().value().at("milliseconds").contains(measured.provider));
}

TEST_F(Auto, times_again_what_a_damaged_file_lost) {
  std::ofstream(file_in(folder.path())) << "{ damaged";
  EXPECT_EQ(choose(folder.path()).measured.times.size(), measured.measured.times.size());
  EXPECT_EQ(stored().size(), 1U);
}

TEST_F(Auto, times_each_problem_of_its_own) {
  choose(folder.path(), 3);
  EXPECT_EQ(stored().size(), 2U);
}

}  // namespace
}  // namespace apam::kernels
