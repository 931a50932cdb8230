// The emulator itself: fibers, and the order in which it runs threads.
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include <simt/launch.h>
#include <simt/threads.h>

namespace apam::kernels::cuda::emulator {
namespace {

/// A fiber that appends to a list and suspends itself between.
struct Walker {
  Fiber fiber;
  std::vector<int>* list = nullptr;
  int name = 0;

  static void body(void* self) {
    auto& walker = *static_cast<Walker*>(self);
    std::vector<int> own{walker.name};  // survives on the fiber's stack
    for (int round = 0; round < 3; ++round) {
      own.push_back(round);
      walker.list->push_back(10 * own.front() + own.back());
      walker.fiber.suspend();
    }
  }
};

TEST(Fibers, keep_their_stacks_while_others_run) {
  std::vector<int> list;
  std::vector<Stack> stacks(2);
  Walker walkers[2];
  for (int i = 0; i < 2; ++i) {
    walkers[i].list = &list;
    walkers[i].name = i + 1;
    walkers[i].fiber.prepare(stacks[static_cast<std::size_t>(i)], &Walker::body, &walkers[i]);
  }
  for (int round = 0; round < 4; ++round) {
    for (Walker& walker : walkers) walker.fiber.resume();
  }
  EXPECT_EQ(list, (std::vector<int>{10, 20, 11, 21, 12, 22}));
  EXPECT_TRUE(walkers[0].fiber.ended() && walkers[1].fiber.ended());
}

TEST(Fibers, catch_exceptions_that_are_thrown_on_their_stacks) {
  Stack stack;
  Fiber fiber;
  std::string caught;
  fiber.prepare(
      stack,
      [](void* text) {
        try {
          throw std::runtime_error("thrown on a fiber");
        } catch (const std::exception& error) {
          *static_cast<std::string*>(text) = error.what();
        }
      },
      &caught);
  fiber.resume();
  EXPECT_EQ(caught, "thrown on a fiber");
}

TEST(Fibers, align_their_stacks) {
  Stack stack;
  Fiber fiber;
  std::uintptr_t address = 1;
  fiber.prepare(
      stack,
      [](void* out) {
        alignas(16) volatile char local = 0;
        *static_cast<std::uintptr_t*>(out) = reinterpret_cast<std::uintptr_t>(&local) % 16;
      },
      &address);
  fiber.resume();
  EXPECT_EQ(address, 0U);
}

struct Order {
  struct Args {
    std::vector<int>* list;
  };
  static constexpr int threads = 64, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  static void run(const Args& args) {
    args.list->push_back(64 * block().x + thread());
    sync_block();
    args.list->push_back(64 * block().x + thread());
  }
};

std::vector<int> order(Settings settings) {
  std::vector<int> list;
  Exec exec;
  exec.cache<Machine>().settings = settings;
  EXPECT_TRUE(report_of<Order>(exec, {2}, {&list}).clean());
  return list;
}

TEST(Schedules, run_threads_in_different_orders) {
  const auto in_turn = order({.schedule = Schedule::in_turn}), hasty = order({.schedule = Schedule::hasty});
  const auto first = order({.schedule = Schedule::random, .seed = 1}),
             second = order({.schedule = Schedule::random, .seed = 2});
  EXPECT_EQ(in_turn[1], 1);
  EXPECT_EQ(hasty[1], 62);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, order({.schedule = Schedule::random, .seed = 1}));
  for (auto list : {in_turn, hasty, first, second}) {
    ASSERT_EQ(list.size(), 256U);
    std::sort(list.begin(), list.end());
    for (int i = 0; i < 256; ++i) EXPECT_EQ(list[static_cast<std::size_t>(i)], i / 2);  // each thread of each block, twice
  }
}

struct Asks {
  struct Args {};
  static constexpr int threads = 48, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  static void run(const Args&) {}
};

TEST(Machine, refuses_a_part_of_a_warp) {
  Exec exec;
  EXPECT_THROW((void)report_of<Asks>(exec, {}, {}), DeviceError);
}

}  // namespace
}  // namespace apam::kernels::cuda::emulator
