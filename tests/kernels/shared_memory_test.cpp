// Shared memory, waits on words in it, and watched processes: between processes that are not threads of one another.
#include "kernels/runtime/shared_memory.h"
#include "kernels/runtime/pages.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <functional>
#include <thread>

#include "kernels/runtime/futex.h"
#include "kernels/runtime/process_watch.h"
#include "kernels/runtime/run_clock.h"
#include "tests/support/throws.h"

namespace apam {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::throws;

constexpr std::size_t kBytes = 3U << 20U;

/// A process that runs `body` and exits with what it returns.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : process_(::fork()) {
    if (process_ == 0) ::_exit(body());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!waited_) {
      kill();
      wait();
    }
  }

  ::pid_t process() const { return process_; }
  void kill() const { ::kill(process_, SIGKILL); }
  int wait() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    waited_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  ::pid_t process_;
  bool waited_ = false;
};

futex::Word& word_in(const SharedMemory& memory, std::size_t index = 0) {
  return reinterpret_cast<futex::Word*>(memory.data())[index];
}

TEST(SharedMemory, is_zero_and_has_the_size_that_was_asked_for) {
  for (const auto make : {SharedMemory::create, SharedMemory::anonymous}) {
    const SharedMemory memory = make("test", kBytes);
    EXPECT_EQ(memory.size_bytes(), kBytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % 4096, 0U);
    for (std::size_t i = 0; i < kBytes; i += 512) ASSERT_EQ(memory.data()[i], std::byte{0}) << i;
  }
}

TEST(SharedMemory, is_the_same_for_a_process_that_attaches) {
  const SharedMemory memory = SharedMemory::create("test", kBytes);
  word_in(memory, 7) = 41;
  Child child([address = memory.address()] {
    const SharedMemory theirs = SharedMemory::attach("test", address);
    if (theirs.size_bytes() != kBytes || !theirs.address().empty()) return 2;
    return ++word_in(theirs, 7) == 42 ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(word_in(memory, 7), 42U);
}

/// Of the mapping from `data` on, as this process has it. (/proc/self/smaps)
std::size_t bytes_in_huge_pages(const std::byte* data) {
  std::ifstream smaps("/proc/self/smaps");
  const std::string begin = fmt::format("{:x}-", reinterpret_cast<std::uintptr_t>(data));
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    if (line.starts_with(begin)) here = true;
    if (here && line.starts_with("ShmemPmdMapped:")) return std::stoull(line.substr(15)) << 10U;
  }
  return 0;
}

/// Whether this system makes huge pages of shared memory on request.
bool has_huge_pages() {
  const SharedMemory memory = SharedMemory::anonymous("test", 2 * kHugePage);
  auto* const page = memory.data();
  constexpr int kCollapse = 25;  // MADV_COLLAPSE
  return ::madvise(page, kHugePage, kCollapse) == 0;
}

TEST(SharedMemory, has_huge_pages_for_all_its_processes) {
  constexpr std::size_t kLarge = 16 * kHugePage + 4096;
  const SharedMemory other = SharedMemory::anonymous("test", kLarge);
  const SharedMemory memory = SharedMemory::create("test", kLarge);
  for (const auto* const data : {other.data(), memory.data()}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % kHugePage, 0U);
  }
  for (std::size_t i = 0; i < kLarge; i += 512) ASSERT_EQ(memory.data()[i], std::byte{0}) << i;
  if (!has_huge_pages()) GTEST_SKIP() << "none on this system";
  // Some may be missing where memory is fragmented.
  EXPECT_GE(bytes_in_huge_pages(other.data()), kLarge / 2);
  EXPECT_GE(bytes_in_huge_pages(memory.data()), kLarge / 2);
  Child child([address = memory.address()] {
    const SharedMemory theirs = SharedMemory::attach("test", address);
    for (std::size_t i = 0; i < kLarge; i += 4096) word_in(theirs, i / 4) = 1;
    return bytes_in_huge_pages(theirs.data()) >= kLarge / 2 ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(SharedMemory, outlives_its_creator) {
  const SharedMemory places = SharedMemory::anonymous("address", 4096);
  Child creator([&] {
    const SharedMemory memory = SharedMemory::create("test", kBytes);
    word_in(memory) = 17;
    memory.address().copy(reinterpret_cast<char*>(places.data()) + 64, 256);
    futex::signal(word_in(places));
    futex::wait(word_in(places, 1), 0, std::chrono::seconds(30));
    return 0;
  });
  while (word_in(places) == 0) futex::wait(word_in(places), 0, std::chrono::seconds(30));
  const SharedMemory memory = SharedMemory::attach("test", reinterpret_cast<const char*>(places.data()) + 64);
  creator.kill();
  EXPECT_EQ(creator.wait(), 128 + SIGKILL);
  EXPECT_EQ(word_in(memory), 17U);
  word_in(memory, kBytes / 4 - 1) = 3;  // the last page too
}

TEST(SharedMemory, leaves_no_file_behind) {
  const SharedMemory memory = SharedMemory::create("leaves_no_file", kBytes);
  EXPECT_EQ(::access("/dev/shm/leaves_no_file", F_OK), -1);
  std::ifstream maps("/proc/self/maps");
  const std::string text(std::istreambuf_iterator<char>(maps), {});
  EXPECT_NE(text.find("memfd:leaves_no_file"), std::string::npos);
}

TEST(SharedMemory, is_not_offered_after_it_was_withdrawn) {
  SharedMemory memory = SharedMemory::create("test", kBytes);
  const std::string address = memory.address();
  memory.withdraw();
  EXPECT_TRUE(memory.address().empty());
  EXPECT_TRUE(
      throws<SharedMemoryError>({"weights", "3145728", "No such file"}, [&] { SharedMemory::attach("weights", address); }));
  // Another file that has its number now is not mistaken for it.
  const SharedMemory other = SharedMemory::create("test", kBytes);
  EXPECT_TRUE(throws<SharedMemoryError>({"weights", "another file"}, [&] { SharedMemory::attach("weights", address); }));
  word_in(memory) = 1;  // still mapped here
}

TEST(SharedMemory, refuses_what_cannot_be) {
  EXPECT_TRUE(throws<OutOfMemory>({"ring", "1073741824 MiB", "available"},
                                  [] { SharedMemory::create("ring", std::size_t{1} << 50U); }));
  EXPECT_TRUE(throws<OutOfMemory>({"ring", "1073741824 MiB", "available"},
                                  [] { SharedMemory::anonymous("ring", std::size_t{1} << 50U); }));
  EXPECT_TRUE(throws<InputError>({"ring", "0"}, [] { SharedMemory::create("ring", 0); }));
  for (const std::string text : {"", "1", "1:2:3", "1:2:3:0", "1:2:3:4:5", "1:2:3:x", "-1:2:3:4", "1:2:3:4 "}) {
    EXPECT_TRUE(throws<InputError>({"address"}, [&] { SharedMemory::attach("ring", text); })) << text;
  }
  EXPECT_TRUE(throws<SharedMemoryError>({"ring", "4096"}, [] { SharedMemory::attach("ring", "999999999:3:1:4096"); }));
}

TEST(SharedMemory, faults_where_it_was_made_read_only) {
  SharedMemory memory = SharedMemory::create("test", kBytes);
  Child child([address = memory.address()] {
    SharedMemory theirs = SharedMemory::attach("test", address);
    theirs.make_read_only(4096, 4096);
    word_in(theirs) = 1;
    word_in(theirs, 2048) = word_in(theirs, 1024).load();
    std::signal(SIGSEGV, [](int) { ::_exit(77); });
    word_in(theirs, 1024) = 1;
    return 1;
  });
  EXPECT_EQ(child.wait(), 77);
  word_in(memory, 1024) = 1;  // writable for others
  EXPECT_TRUE(throws<ShapeError>({"3149824", "3145728"}, [&] { memory.make_read_only(kBytes, 4096); }));
  EXPECT_TRUE(throws<InputError>({"from 1", "read-only", "4096"}, [&] { memory.make_read_only(1, 4096); }));
  EXPECT_TRUE(throws<InputError>({"100 bytes", "read-only", "4096"}, [&] { memory.make_read_only(0, 100); }));
}

TEST(SharedMemory, moves) {
  SharedMemory memory = SharedMemory::create("test", kBytes);
  const std::byte* const data = memory.data();
  SharedMemory other;
  other = std::move(memory);
  EXPECT_EQ(other.data(), data);
  EXPECT_FALSE(other.address().empty());
  const SharedMemory third(std::move(other));
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(SharedMemory::attach("test", third.address()).size_bytes(), kBytes);
}

TEST(Futex, returns_at_once_if_the_word_has_changed) {
  futex::Word word = 3;
  const auto begin = steady_clock::now();
  EXPECT_TRUE(futex::wait(word, 2, std::chrono::seconds(30)));
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(Futex, gives_up_after_the_timeout) {
  const futex::Word word = 3;
  const auto begin = steady_clock::now();
  EXPECT_FALSE(futex::wait(word, 3, milliseconds(30)));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(30));
  EXPECT_FALSE(futex::wait(word, 3, milliseconds(0)));
  EXPECT_FALSE(futex::wait(word, 3, milliseconds(-1)));
}

TEST(Futex, wakes_threads) {
  futex::Word word = 0;
  int value = 0;
  std::jthread other([&] {
    value = 5;
    futex::signal(word);
  });
  while (word.load(std::memory_order_acquire) == 0) futex::wait(word, 0, std::chrono::seconds(30));
  EXPECT_EQ(value, 5);
}

TEST(Futex, wakes_other_processes_which_use_no_processor_time) {
  const SharedMemory memory = SharedMemory::create("test", 4096);
  Child child([address = memory.address()] {
    const SharedMemory theirs = SharedMemory::attach("test", address);
    const double before = processor_seconds();
    futex::signal(word_in(theirs, 1));
    while (word_in(theirs).load(std::memory_order_acquire) == 0) {
      if (!futex::wait(word_in(theirs), 0, std::chrono::seconds(30))) return 2;
    }
    return processor_seconds() - before < 0.01 ? 0 : 1;  // 5 % of 200 ms
  });
  while (word_in(memory, 1) == 0) futex::wait(word_in(memory, 1), 0, std::chrono::seconds(30));
  std::this_thread::sleep_for(milliseconds(200));
  futex::signal(word_in(memory));
  EXPECT_EQ(child.wait(), 0);
}

TEST(ProcessWatch, tells_which_processes_have_ended) {
  const SharedMemory memory = SharedMemory::anonymous("test", 4096);
  const auto waits = [&] {
    futex::wait(word_in(memory), 0, std::chrono::seconds(60));
    return 0;
  };
  const Child first(waits), second(waits), third(waits);
  const std::array<std::int64_t, 3> processes{first.process(), second.process(), third.process()};
  const ProcessWatch watch(processes);
  EXPECT_TRUE(watch.ended().empty());
  second.kill();
  for (int i = 0; i < 3000 && watch.ended().empty(); ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(watch.ended(), std::vector<int>{1}) << "before anyone has waited for it";
}

TEST(ProcessWatch, refuses_a_process_that_does_not_exist) {
  const std::array<std::int64_t, 1> none{999999999};
  EXPECT_TRUE(throws<DeviceError>({"999999999", "No such process"}, [&] { const ProcessWatch watch(none); }));
  EXPECT_GT(ProcessWatch::this_process(), 1);
}

}  // namespace
}  // namespace apam
