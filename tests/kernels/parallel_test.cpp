// Ranges are split without gap or overlap, and parallel loops visit every element once, with OpenMP and with our own pool.
#include "kernels/runtime/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "kernels/runtime/start_thread.h"
#include "tests/support/error_of.h"
#include "tests/support/few_threads.h"

namespace apam {
namespace {

TEST(Split, covers_the_range_in_order_at_multiples_of_the_grain) {
  for (const std::int64_t count : {0, 1, 7, 64, 65, 1000}) {
    for (const std::int64_t parts : {1, 2, 3, 8, 13}) {
      for (const std::int64_t grain : {1, 4, 64, 5000}) {
        SCOPED_TRACE(testing::Message() << count << " in " << parts << " parts, grain " << grain);
        std::int64_t end = 0;
        for (std::int64_t part = 0; part < parts; ++part) {
          const Range range = split(count, part, parts, grain);
          EXPECT_EQ(range.begin, end);
          EXPECT_LE(range.begin, range.end);
          EXPECT_TRUE(range.begin % grain == 0 || range.begin == count);
          end = range.end;
        }
        EXPECT_EQ(end, count);
      }
    }
  }
}

template <class Body>
std::string device_error(Body&& body) {
  return support::message_of<DeviceError>(body);
}

TEST(Threads, that_the_system_cannot_start_are_an_error) {
  EXPECT_EQ(device_error([] { check_threads(8); }), "no error");
  const support::FewThreads none(0);
  EXPECT_EQ(device_error([] { start_thread("loader", 3, 8, [] {}); }),
            "loader: thread 3 of 8 cannot be started: Resource temporarily unavailable");
  EXPECT_EQ(device_error([] { check_threads(8); }),
            "threads: thread 2 of 8 cannot be started: Resource temporarily unavailable");
  EXPECT_EQ(device_error([] { check_threads(1); }), "no error");
}

TEST(Threads, end_if_one_of_them_cannot_start) {
  const support::FewThreads few(3);
  const std::string error = device_error([] { check_threads(8); });
  const auto stops_at = [&](int thread) {
    return error == fmt::format("threads: thread {} of 8 cannot be started: Resource temporarily unavailable", thread);
  };
  EXPECT_TRUE(stops_at(5) || stops_at(4)) << error;  // ThreadSanitizer takes one for itself
}

TEST(Split, gives_parts_that_differ_by_one_grain_at_most) {
  constexpr std::int64_t kCount = 1000, kParts = 7, kGrain = 8;
  for (std::int64_t part = 0; part < kParts; ++part) {
    const Range range = split(kCount, part, kParts, kGrain);
    EXPECT_GE(range.end - range.begin, kCount / kGrain / kParts * kGrain);
    EXPECT_LE(range.end - range.begin, (kCount / kGrain / kParts + 1) * kGrain);
  }
}

TEST(Parallel, runs_every_index_once) {
  for (const int threads : {1, 2, 3, 5, 16}) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(threads));
    parallel(threads, [&](int thread) { ++calls[static_cast<std::size_t>(thread)]; });
    for (const auto& count : calls) EXPECT_EQ(count, 1) << threads << " threads";
  }
}

TEST(Parallel, for_visits_every_element_once) {
  for (const int threads : {1, 2, 3, 8}) {
    for (const std::int64_t count : {0, 1, 2, 63, 64, 65, 10'000}) {
      std::vector<std::atomic<int>> touched(static_cast<std::size_t>(count));
      parallel_for(threads, count, 16, [&](std::int64_t begin, std::int64_t end) {
        for (auto e = begin; e < end; ++e) ++touched[static_cast<std::size_t>(e)];
      });
      for (const auto& times : touched) ASSERT_EQ(times, 1) << threads << " threads, " << count << " elements";
    }
  }
}

TEST(Parallel, for_makes_no_part_smaller_than_the_grain) {
  std::atomic<int> parts = 0;
  parallel_for(8, 20, 16, [&](std::int64_t, std::int64_t) { ++parts; });
  EXPECT_EQ(parts, 2);
}

/// Number of threads that have called count_thread() in this process.
std::atomic<int>& threads_seen() {
  static std::atomic<int> seen = 0;
  return seen;
}
void count_thread() {
  thread_local bool counted = false;
  if (!counted) ++threads_seen();
  counted = true;
}

// Alternating teams of two sizes start new threads in every round, in OpenMP.
TEST(Parallel, for_keeps_idle_threads_for_the_next_loop) {
  constexpr int kThreads = 5;
  parallel(kThreads, [](int) { count_thread(); });
  const int before = threads_seen();
  for (int round = 0; round < 20; ++round) {
    parallel_for(kThreads, 2, 1, [](std::int64_t, std::int64_t) { count_thread(); });
    parallel_for(kThreads, 1, 1, [](std::int64_t, std::int64_t) { count_thread(); });
    parallel(kThreads, [](int) { count_thread(); });
  }
  EXPECT_EQ(threads_seen(), before);
}

TEST(Parallel, loops_may_be_nested) {
  std::atomic<int> calls = 0;
  parallel(3, [&](int) { parallel(2, [&](int) { ++calls; }); });
  EXPECT_EQ(calls, 6);
}

TEST(Parallel, loops_of_several_host_threads_do_not_mix) {
  std::vector<int> sums(4);
  std::vector<std::thread> hosts;
  for (std::size_t host = 0; host < sums.size(); ++host) {
    hosts.emplace_back([&sums, host] {
      for (int round = 0; round < 100; ++round) {
        std::atomic<int> sum = 0;
        parallel(2, [&](int thread) { sum += thread + 1; });
        sums[host] += sum;
      }
    });
  }
  for (auto& host : hosts) host.join();
  EXPECT_EQ(sums, (std::vector<int>{300, 300, 300, 300}));
}

}  // namespace
}  // namespace apam
