#include "apam/run/run_folder.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "apam/run/interruption.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"

namespace apam::run {
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

  fs::path folder_;
};

TEST_F(RunFolderTest, KeepsKeysInOrderAndLinesAsTheyCome) {
  RunFolder run(folder_ / "a" / "b", Overwrite::refuse);
  run.write_config({{"zebra", 1}, {"ant", 2}});
  EXPECT_EQ(read(run.path() / "config.json"), "{\n  \"zebra\": 1,\n  \"ant\": 2\n}\n");
  run.add_metrics({{"update", 1}});
  EXPECT_EQ(read(run.path() / "metrics.jsonl"), "{\"update\":1}\n");  // at once
  run.add_metrics({{"update", 2}});
  EXPECT_EQ(read(run.path() / "metrics.jsonl"), "{\"update\":1}\n{\"update\":2}\n");
}

TEST_F(RunFolderTest, ReplacesOnlyWhenAllowedAndOnlyItsOwnFiles) {
  { RunFolder(folder_, Overwrite::refuse).write_summary({{"updates", 1}}); }
  write_file(folder_ / "notes", "mine");
  EXPECT_THROW(RunFolder(folder_, Overwrite::refuse), InputError);
  EXPECT_TRUE(fs::exists(folder_ / "summary.json"));
  const RunFolder again(folder_, Overwrite::allow);
  EXPECT_FALSE(fs::exists(folder_ / "summary.json"));
  EXPECT_EQ(read(folder_ / "notes"), "mine");
}

TEST(Interruption, TakesASignalAsSomethingToAskFor) {
  {
    const Interruption interruption;
    EXPECT_FALSE(interruption.pending().has_value());
    ASSERT_EQ(::raise(SIGTERM), 0);
    EXPECT_EQ(interruption.pending(), SIGTERM);
    EXPECT_EQ(interruption.pending(), SIGTERM);  // asking does not answer it
  }
  const Interruption next;  // the process is still here, and the signal is gone
  EXPECT_FALSE(next.pending().has_value());
}

}  // namespace
}  // namespace apam::run
