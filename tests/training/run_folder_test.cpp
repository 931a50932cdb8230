#include "apam/training/run_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"
#include "tests/support/small_disk.h"
#include "tests/support/throws.h"

namespace apam::training {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "run-folder-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  using Files = std::map<std::string, std::string>;
  static Files files(const fs::path& folder) {
    Files found;
    for (const auto& entry : fs::directory_iterator(folder)) found[entry.path().filename().string()] = read(entry.path());
    return found;
  }

  fs::path folder_;
};

TEST_F(RunFolderTest, KeepsKeysInOrderAndWritesLinesAtOnce) {
  RunFolder run(folder_ / "a" / "b", Existing::refuse);
  run.write_config({{"zebra", 1}, {"ant", 2}});
  run.start();
  EXPECT_EQ(read(run.path() / "config.json"), "{\n  \"zebra\": 1,\n  \"ant\": 2\n}\n");
  run.add_metrics({{"update", 1}});
  EXPECT_EQ(read(run.path() / "metrics.jsonl"), "{\"update\":1}\n");  // at once
  run.add_metrics({{"update", 2}});
  EXPECT_EQ(read(run.path() / "metrics.jsonl"), "{\"update\":1}\n{\"update\":2}\n");
  run.add_epoch("epoch,update");
  run.add_epoch("1,2");
  EXPECT_EQ(read(run.path() / "epochs.csv"), "epoch,update\n1,2\n");
}

/// A run of one update, its number in every file.
void leave_a_run(const fs::path& path, Existing existing, int number) {
  RunFolder run(path, existing);
  run.write_config({{"run", number}});
  run.add_metrics({{"run", number}});
  run.add_epoch(std::to_string(number));
  write_file(run.model(), std::to_string(number));
  run.write_summary({{"run", number}});
}

TEST_F(RunFolderTest, ReplacesOnlyWhenAllowedAndOnlyItsOwnFiles) {
  leave_a_run(folder_, Existing::refuse, 1);
  write_file(folder_ / "notes", "mine");
  EXPECT_THROW(RunFolder(folder_, Existing::refuse), InputError);
  const auto before = files(folder_);
  EXPECT_EQ(before.size(), 6U);
  RunFolder again(folder_, Existing::replace);
  again.write_config({{"run", 2}});
  EXPECT_EQ(read(folder_ / "config.json"), before.at("config.json"));
  again.start();
  EXPECT_EQ(files(folder_), (Files{{"config.json", "{\n  \"run\": 2\n}\n"}, {"notes", "mine"}}));
}

TEST_F(RunFolderTest, ARunThatNeverStartsLeavesNoTrace) {
  leave_a_run(folder_ / "old", Existing::refuse, 1);
  const auto before = files(folder_ / "old");
  {
    RunFolder old(folder_ / "old", Existing::replace), fresh(folder_ / "new", Existing::refuse);
    old.write_config({{"run", 2}});
    fresh.write_config({{"run", 2}});
  }
  EXPECT_EQ(files(folder_ / "old"), before);
  EXPECT_FALSE(fs::exists(folder_ / "new"));
  fs::create_directory(folder_ / "mine");
  { RunFolder(folder_ / "mine", Existing::refuse).write_config({}); }
  EXPECT_TRUE(fs::is_directory(folder_ / "mine"));  // not made by the run
}

TEST_F(RunFolderTest, FilesOfAKilledWriterAreNotARun) {
  std::ofstream(folder_ / ".apam-1-0123456789abcdef.partial") << "half";
  leave_a_run(folder_, Existing::refuse, 1);
  EXPECT_TRUE(fs::exists(folder_ / "summary.json"));
}

TEST_F(RunFolderTest, OneOfManyRunsGetsTheFolder) {
  constexpr int kRuns = 16;
  for (const bool exists : {false, true}) {  // also for an existing empty folder
    const fs::path wanted = folder_ / (exists ? "existing" : "new");
    if (exists) fs::create_directory(wanted);
    std::atomic<int> owners = 0, waiting = kRuns;
    std::vector<std::thread> threads;
    for (int i = 0; i < kRuns; ++i) {
      threads.emplace_back([&] {
        std::unique_ptr<RunFolder> run;
        try {
          run = std::make_unique<RunFolder>(wanted, Existing::refuse);
          run->start();
          ++owners;
        } catch (const InputError&) {
        }
        --waiting;
        while (waiting > 0) std::this_thread::yield();  // all try before the first releases it
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(owners, 1) << wanted;
  }
}

TEST_F(RunFolderTest, RunsWithoutANameGetSeparateFolders) {
  constexpr int kRuns = 16;
  std::vector<std::unique_ptr<RunFolder>> runs(kRuns);
  std::vector<std::thread> threads;
  for (auto& run : runs) {
    threads.emplace_back([&] { run = std::make_unique<RunFolder>(folder_ / "runs" / "now", Existing::next_free); });
  }
  for (auto& thread : threads) thread.join();
  std::set<std::string> names;
  for (const auto& run : runs) names.insert(run->path().filename().string());
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kRuns));
  EXPECT_TRUE(names.contains("now") && names.contains("now-2") && names.contains("now-16"));
}

TEST_F(RunFolderTest, ASecondRunDoesNotReplaceAnActiveOne) {
  RunFolder run(folder_ / "a", Existing::refuse);
  run.write_config({{"run", 1}});
  run.start();
  try {
    const RunFolder second(folder_ / "a", Existing::replace);
    FAIL() << "two runs own one folder";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find((folder_ / "a").string()), std::string::npos) << error.what();
  }
}

TEST_F(RunFolderTest, AFullDiskKeepsTheOldRunAndWholeLines) {
  const support::SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "a small disk cannot be mounted here: " << disk.reason();
  leave_a_run(disk.path(), Existing::refuse, 1);
  const auto before = files(disk.path());
  {
    RunFolder run(disk.path(), Existing::replace);
    EXPECT_THROW(run.write_config({{"long", std::string(100'000, 'x')}}), InputError);
  }
  EXPECT_EQ(files(disk.path()), before);

  RunFolder run(disk.path(), Existing::replace);
  run.write_config({{"run", 2}});
  std::string message;
  int lines = 0;
  try {
    for (; lines < 100; ++lines) run.add_metrics({{"long", std::string(3000, 'x')}});
  } catch (const InputError& error) {
    message = error.what();
  }
  EXPECT_TRUE(message.ends_with(" bytes cannot be written: No space left on device")) << message;
  const std::string metrics = read(disk.path() / "metrics.jsonl");
  EXPECT_TRUE(metrics.ends_with("\n"));
  EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), lines);
  EXPECT_GT(lines, 5);
}

TEST_F(RunFolderTest, ARunThatIsContinuedKeepsWhatItsCheckpointKnows) {
  leave_a_run(folder_ / "a", Existing::refuse, 1);
  const std::string metrics = read(folder_ / "a" / "metrics.jsonl");
  {
    RunFolder run(folder_ / "a", Existing::replace);
    const auto sizes = run.sizes();
    EXPECT_EQ(sizes.at("metrics.jsonl"), std::ssize(metrics));
    EXPECT_TRUE(support::throws<InputError>({"knows no size of epochs.csv"}, [&] { run.resume_at({{"metrics.jsonl", 1}}); }));
    EXPECT_TRUE(support::throws<InputError>({"epochs.csv: has", "1000000"}, [&] {
      run.resume_at({{"metrics.jsonl", 1}, {"epochs.csv", 1'000'000}});
    }));
    run.resume_at({{"metrics.jsonl", 5}, {"epochs.csv", 0}});
    run.start();
  }
  const Files left = files(folder_ / "a");
  EXPECT_EQ(left.at("metrics.jsonl"), metrics.substr(0, 5));
  EXPECT_EQ(left.count("epochs.csv"), 0U);
  EXPECT_EQ(left.count("summary.json"), 0U);
  EXPECT_EQ(left.count("model.safetensors"), 1U);
}

TEST_F(RunFolderTest, TheModelThatARunBeginsWithStays) {
  for (const bool begins_with_it : {true, false}) {
    leave_a_run(folder_ / "a", Existing::replace, 1);
    RunFolder run(folder_ / "a", Existing::replace);
    run.keep_model(begins_with_it ? folder_ / "a" / "." / "model.safetensors" : folder_ / "model.safetensors");
    run.start();
    EXPECT_EQ(files(folder_ / "a").count("model.safetensors"), begins_with_it ? 1U : 0U);
    EXPECT_EQ(files(folder_ / "a").count("summary.json"), 0U);
  }
}

TEST_F(RunFolderTest, SpaceForTheModelIsReserved) {
  const support::SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "a small disk cannot be mounted here: " << disk.reason();
  RunFolder run(disk.path(), Existing::refuse);
  EXPECT_TRUE(support::throws<InputError>({"--out", "1.0 MiB", "No space left on device"}, [&] { run.reserve(1 << 20); }));
  run.reserve(40'000);
  EXPECT_THROW(write_file(run.model(), std::string(40'000, 'w')), InputError);
  run.use_reserve([&] { write_file(run.model(), std::string(40'000, 'w')); });
  EXPECT_EQ(read(run.model()).size(), 40'000U);
}

}  // namespace
}  // namespace apam::training
