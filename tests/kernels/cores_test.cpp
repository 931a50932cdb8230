#include "kernels/runtime/cores.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "kernels/runtime/error.h"
#include "tests/support/temporary_folder.h"

namespace apam {
namespace {

TEST(CpuSet, text_has_numbers_and_ranges) {
  for (const char* text : {"", "0", "0-3,8", "0,2,4", "7-8", "0-1048575"}) EXPECT_EQ(CpuSet::parse(text).to_text(), text);
  EXPECT_EQ(CpuSet::parse("3,1-2,2,0").to_text(), "0-3");
  EXPECT_EQ(CpuSet::parse("0-3,8").cpus(), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(CpuSet({5, 3, 5, 4}).to_text(), "3-5");
}

TEST(CpuSet, rejects_other_text) {
  for (const char* text : {",", "1,", "-1", "1-", "2-1", "a", "1 ", "1--2", "1-2-3", "1048576", "99999999999"}) {
    EXPECT_THROW(CpuSet::parse(text), InputError) << text;
  }
}

TEST(CpuSet, union_and_intersection) {
  const CpuSet a = CpuSet::parse("0-3,8"), b = CpuSet::parse("2-5");
  EXPECT_EQ((a | b).to_text(), "0-5,8");
  EXPECT_EQ((a & b).to_text(), "2-3");
  EXPECT_TRUE(a.has(8));
  EXPECT_FALSE(a.has(5));
  EXPECT_EQ((a & CpuSet()).count(), 0);
}

/// A kernel that supports `cpus` CPUs, some of which this process may use.
detail::AffinityQuery kernel_of(std::size_t cpus, const CpuSet& allowed) {
  return [=](std::size_t bytes, cpu_set_t* set) {
    if (bytes * 8 < cpus) {
      errno = EINVAL;
      return -1;
    }
    for (const int cpu : allowed.cpus()) CPU_SET_S(static_cast<std::size_t>(cpu), bytes, set);
    return 0;
  };
}

TEST(Affinity, is_read_on_machines_of_any_size) {
  EXPECT_EQ(detail::affinity(kernel_of(64, CpuSet::parse("0-1"))).to_text(), "0-1");
  EXPECT_EQ(detail::affinity(kernel_of(1025, CpuSet::parse("0,1024"))).to_text(), "0,1024");
  EXPECT_EQ(detail::affinity(kernel_of(8192, CpuSet::parse("0-5000"))).count(), 5001);
}

TEST(Affinity, is_empty_if_it_cannot_be_read) {
  EXPECT_TRUE(detail::affinity([](std::size_t, cpu_set_t*) {
                errno = EPERM;
                return -1;
              }).empty());
  EXPECT_TRUE(detail::affinity(kernel_of(1U << 30U, CpuSet::parse("0"))).empty());
}

TEST(Cores, are_those_of_the_mask_within_the_quota) {
  const CpuSet eight = CpuSet::parse("0-7");
  EXPECT_EQ((Cores{eight}.count()), 8);
  EXPECT_EQ((Cores{eight, 2.0}.count()), 2);
  EXPECT_EQ((Cores{eight, 2.1}.count()), 3);
  EXPECT_EQ((Cores{eight, 0.1}.count()), 1);
  EXPECT_EQ((Cores{eight, 8.0}.count()), 8);
  EXPECT_EQ((Cores{eight, 1e18}.count()), 8);
  EXPECT_EQ((Cores{{}, 4.0}.count()), 1);
  EXPECT_EQ((Cores{eight, 4.0, 3}.count()), 3);
  EXPECT_EQ((Cores{eight, 2.0, 3}.count()), 2);
}

TEST(Cores, of_this_process_are_those_of_its_threads) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), process_cores().cpus.count());
}

/// A machine's files below a folder.
class CgroupQuota : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const auto file = folder.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void v2(const std::string& group) const {
    write("proc/self/cgroup", "0::" + group + "\n");
    write("proc/self/mountinfo",
          "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
          "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void v1(const std::string& group, const std::string& root = "/") const {
    write("proc/self/cgroup", "9:name=systemd:/x\n5:cpu,cpuacct:" + group + "\n3:cpuset:/y\n0::/z\n");
    write("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n32 31 0:29 " + root +
                                     " /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n"
                                     "35 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
  }
  std::optional<double> quota() const { return detail::cgroup_quota(folder.path()); }

  support::TemporaryFolder folder;
};

TEST_F(CgroupQuota, is_none_without_limits) {
  EXPECT_EQ(quota(), std::nullopt);
  v2("/");
  EXPECT_EQ(quota(), std::nullopt);
  v2("/a");
  write("sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("proc/self/cgroup", "garbage\n:\n0::\n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(CgroupQuota, of_version_2_is_the_tightest_of_the_group_and_its_ancestors) {
  v2("/a/b");
  write("sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
  EXPECT_EQ(quota(), 2.5);
  write("sys/fs/cgroup/a/cpu.max", "100000 50000\n");
  EXPECT_EQ(quota(), 2.0);
  write("sys/fs/cgroup/cpu.max", "150000 100000\n");  // as the root of a container's namespace shows it
  EXPECT_EQ(quota(), 1.5);
  write("sys/fs/cgroup/other/cpu.max", "1000 100000\n");
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(CgroupQuota, of_version_1_is_the_tightest_of_the_group_and_its_ancestors) {
  v1("/a/b");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "300000\n");
  write("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 3.0);
  write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "40000\n");
  write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "80000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(CgroupQuota, in_a_container_is_read_at_the_mount_point) {
  v1("/docker/abc", "/docker/abc");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 2.0);
  v1("/docker/abc/inner", "/docker/abc");
  write("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 1.0);
  v1("/elsewhere", "/docker/abc");
  EXPECT_EQ(quota(), 2.0);
  v2("/../../outside");
  write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(quota(), 4.0);
}

TEST_F(CgroupQuota, is_none_if_it_is_no_number) {
  v2("/a");
  for (const char* text : {"", "x 100000", "100000", "100000 0", "0 100000", "-5 100000", "1e5x 100000"}) {
    write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace apam
