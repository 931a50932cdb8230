// Files appear complete or not at all, even with full disks, links, devices and names of any bytes.
#include "kernels/runtime/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "kernels/runtime/error.h"
#include "tests/support/error_of.h"
#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"

namespace apam {
namespace {

namespace fs = std::filesystem;
using support::TemporaryFolder;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

/// The message of the InputError that `action` throws.
template <class Action>
std::string error_of(Action&& action) {
  return support::message_of<InputError>(action);
}

/// Expects the operation, the path and `detail` in an error message.
void expect_error(const std::string& message, const std::string& path, const std::string& detail) {
  EXPECT_TRUE(message.starts_with("write: " + path)) << message;
  EXPECT_NE(message.find(detail), std::string::npos) << message;
}

::mode_t permissions(const fs::path& path) {
  struct stat facts {};
  EXPECT_EQ(::stat(path.c_str(), &facts), 0);
  return facts.st_mode & 07777U;
}

using Names = std::vector<std::string>;

TEST(AtomicFile, ReplacesFilesAndLeavesNoTemporaries) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  write_file(path, "first, and longer");
  EXPECT_EQ(read(path), "first, and longer");
  write_file(path, "second");
  EXPECT_EQ(read(path), "second");
  EXPECT_EQ(names_in(folder.path()), Names{"file"});
}

TEST(AtomicFile, IsInvisibleUntilCommitted) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
    EXPECT_EQ(read(path), "old");
    const auto names = names_in(folder.path());
    EXPECT_EQ(std::count_if(names.begin(), names.end(), [](const auto& name) { return AtomicFile::is_leftover(name); }), 1);
  }
  EXPECT_EQ(read(path), "old");
  EXPECT_EQ(names_in(folder.path()), Names{"file"});
}

TEST(AtomicFile, WritersOfOneFileDoNotDisturbEachOther) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        if (error_of([&] { write_file(path, std::string(5000, static_cast<char>('a' + t))); }) != "no error") ++failures;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  const std::string content = read(path);
  EXPECT_EQ(content, std::string(5000, content.at(0)));
  EXPECT_EQ(names_in(folder.path()), Names{"file"});
}

TEST(AtomicFile, KeepsPermissionsAndTheUmask) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  const ::mode_t before = ::umask(0027);
  write_file(path, "new");
  EXPECT_EQ(permissions(path), 0640U);
  ASSERT_EQ(::chmod(path.c_str(), 0606), 0);
  write_file(path, "replaced");
  EXPECT_EQ(permissions(path), 0606U);
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  {
    AtomicFile file(path);
    for (const auto& name : names_in(folder.path())) EXPECT_EQ(permissions(folder.path() / name), 0600U) << name;
  }
  ::umask(before);
}

TEST(AtomicFile, FollowsLinksAndKeepsThem) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "elsewhere");
  const fs::path target = folder.path() / "elsewhere" / "file", link = folder.path() / "link",
                 second = folder.path() / "second";
  fs::create_symlink("elsewhere/file", link);  // leads to nothing yet
  fs::create_symlink(link, second);
  write_file(second, "made");
  EXPECT_EQ(read(target), "made");
  write_file(second, "replaced");
  EXPECT_EQ(read(target), "replaced");
  EXPECT_TRUE(fs::is_symlink(link) && fs::is_symlink(second));
  EXPECT_EQ(names_in(target.parent_path()), Names{"file"});

  const fs::path ring = folder.path() / "ring";
  fs::create_symlink(ring, ring);
  expect_error(error_of([&] { write_file(ring, "x"); }), ring, "40 symbolic links");
}

TEST(AtomicFile, WritesThroughDevices) {
  // Through links, so that a writer that replaces its target does not harm the machine.
  const TemporaryFolder folder;
  const fs::path null = folder.path() / "null", full = folder.path() / "full";
  fs::create_symlink("/dev/null", null);
  fs::create_symlink("/dev/full", full);
  write_file(null, "gone");
  const std::string message = error_of([&] { write_file(full, "123"); });
  expect_error(message, full, "3 bytes");
  expect_error(message, full, "No space left on device");
  EXPECT_EQ(names_in(folder.path()).size(), 2U);
  EXPECT_TRUE(fs::is_symlink(null) && fs::is_symlink(full));
}

TEST(AtomicFile, WritesThroughAFifo) {
  const TemporaryFolder folder;
  const fs::path fifo = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const std::string content(200'000, 'x');  // more than a pipe holds
  std::string arrived;
  std::thread reader([&] { arrived = read(fifo); });
  write_file(fifo, content);
  reader.join();
  EXPECT_EQ(arrived, content);
  EXPECT_TRUE(fs::is_fifo(fifo));
}

TEST(AtomicFile, WritesToAnOpenDescriptorAtItsOffset) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "out";
  const int out = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(out, 0);
  ASSERT_EQ(::write(out, "before ", 7), 7);
  write_file(fmt::format("/dev/fd/{}", out), "middle ");
  ASSERT_EQ(::write(out, "after", 5), 5);
  EXPECT_EQ(read(path), "before middle after");
  ::close(out);
  const std::string closed = fmt::format("/dev/fd/{}", out);
  expect_error(error_of([&] { write_file(closed, "x"); }), closed, "Bad file descriptor");
}

TEST(AtomicFile, WritesThroughAPipeOfAnotherProcess) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const TemporaryFolder folder;
  const fs::path link = folder.path() / "link";
  fs::create_symlink(fmt::format("/proc/{}/task/{}/fd/{}", ::getpid(), ::getpid(), ends[1]), link);
  write_file(link, "through");
  ::close(ends[1]);
  std::array<char, 16> arrived{};
  EXPECT_EQ(::read(ends[0], arrived.data(), arrived.size()), 7);
  ::close(ends[0]);
}

TEST(AtomicFile, NamesMayHaveAnyBytesAndAnyLength) {
  const TemporaryFolder folder;
  for (const std::string& name : {std::string("\xff\xfe name"), std::string(255, 'n'), std::string("a\nb")}) {
    write_file(folder.path() / name, name);
    EXPECT_EQ(read(folder.path() / name), name);
  }
  EXPECT_EQ(names_in(folder.path()).size(), 3U);
}

TEST(AtomicFile, ErrorsNameOperationPathAndReason) {
  const TemporaryFolder folder;
  const auto at = [&](const char* name) { return (folder.path() / name).string(); };
  write_file(at("file"), "x");
  fs::create_directory(at("folder"));
  const std::string long_name(256, 'n');
  expect_error(error_of([&] { write_file(at("none/file"), ""); }), at("none/file"), "No such file or directory");
  expect_error(error_of([&] { write_file(at("file/file"), ""); }), at("file/file"), "Not a directory");
  expect_error(error_of([&] { write_file(at("folder"), ""); }), at("folder"), "folder, expected a file");
  expect_error(error_of([&] { write_file(at("") + long_name, ""); }), at("") + long_name, "File name too long");
}

TEST(AtomicFile, CheckFindsErrorsInAdvanceAndLeavesNothing) {
  const TemporaryFolder folder;
  const auto at = [&](const char* name) { return (folder.path() / name).string(); };
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  AtomicFile::check(at("new"));
  AtomicFile::check(at("fifo"));  // does not wait for a reader
  AtomicFile::check("/dev/full");
  AtomicFile::check("/dev/stderr");
  expect_error(error_of([&] { AtomicFile::check(at("none/file")); }), at("none/file"), "No such file or directory");
  expect_error(error_of([&] { AtomicFile::check(folder.path()); }), folder.path(), "folder, expected a file");
  EXPECT_EQ(names_in(folder.path()), Names{"fifo"});
}

TEST(AtomicFile, AFullDiskKeepsTheOldFile) {
  const support::SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "a small disk cannot be mounted here: " << disk.reason();
  const fs::path path = disk.path() / "file";
  const std::string old(20'000, 'o');
  write_file(path, old);
  expect_error(error_of([&] { write_file(path, std::string(100'000, 'n')); }), path, "No space left on device");
  EXPECT_EQ(read(path), old);
  EXPECT_EQ(names_in(disk.path()), Names{"file"});
  write_file(path, "fits");  // what did not fit takes no place
  EXPECT_EQ(read(path), "fits");
}

TEST(AtomicFile, AFileSizeLimitKeepsTheOldFile) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  write_file(path, "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = error_of([&] { write_file(path, std::string(3000, 'n')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  expect_error(message, path, "2000 bytes");
  expect_error(message, path, "File too large");
  EXPECT_EQ(read(path), "old");
  EXPECT_EQ(names_in(folder.path()), Names{"file"});
}

}  // namespace
}  // namespace apam
