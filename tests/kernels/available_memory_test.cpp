// The memory that a process may still use, read from files of a made-up machine.
#include "kernels/runtime/available_memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/support/temporary_folder.h"

namespace apam {
namespace {

class AvailableMemory : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const auto file = folder.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<std::uint64_t> available() const { return detail::available_memory(folder.path()); }

  support::TemporaryFolder folder;
};

TEST_F(AvailableMemory, is_unknown_without_files) { EXPECT_EQ(available(), std::nullopt); }

TEST_F(AvailableMemory, is_that_of_the_machine) {
  write("proc/meminfo", "MemTotal:       16000 kB\nMemFree:    100 kB\nMemAvailable:      9000 kB\n");
  EXPECT_EQ(available(), 9000U * 1024U);
}

TEST_F(AvailableMemory, is_limited_by_groups_of_version_2) {
  write("proc/meminfo", "MemAvailable: 9000 kB\n");
  write("proc/self/cgroup", "0::/a/b\n");
  write("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", "500000\n");
  EXPECT_EQ(available(), 9000U * 1024U);
  write("sys/fs/cgroup/a/memory.max", "2000000\n");
  write("sys/fs/cgroup/a/memory.current", "1500000\n");
  EXPECT_EQ(available(), 500000U);
  write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 200000\nactive_file 100000\n");  // reclaimed when needed
  EXPECT_EQ(available(), 800000U);
  write("sys/fs/cgroup/a/memory.current", "2500000\n");
  EXPECT_EQ(available(), 0U);
}

TEST_F(AvailableMemory, is_limited_by_groups_of_version_1) {
  write("proc/meminfo", "MemAvailable: 9000 kB\n");
  write("proc/self/cgroup", "4:memory:/a\n");
  write("proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000\n");
  EXPECT_EQ(available(), 9000U * 1024U);
  write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n");
  write("sys/fs/cgroup/memory/a/memory.stat", "inactive_file 5\ntotal_inactive_file 600\ntotal_active_file 400\n");
  EXPECT_EQ(available(), 1000000U);
}

TEST(AvailableMemoryHere, is_positive) {
  if (const auto here = available_memory()) {
    EXPECT_GT(*here, 0U);
  }
}

}  // namespace
}  // namespace apam
