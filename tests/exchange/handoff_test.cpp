#include "apam/exchange/handoff.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <thread>

#include "apam/exchange/error.h"

namespace apam::exchange {
namespace {

using std::chrono::seconds;

constexpr Duration kAtOnce{};

TEST(Handoff, TakesAllInOrder) {
  Handoff<int> queue;
  std::vector<int> items{7};
  EXPECT_TRUE(queue.take(items, kAtOnce));
  EXPECT_TRUE(items.empty()) << "an empty queue replaces the items too";
  queue.put(1);
  queue.put(2);
  EXPECT_TRUE(queue.take(items, seconds(100))) << "does not wait for what is there";
  EXPECT_EQ(items, (std::vector<int>{1, 2}));
  EXPECT_TRUE(queue.take(items, kAtOnce));
  EXPECT_TRUE(items.empty());
}

TEST(Handoff, WaitsAtMostForTheTimeout) {
  Handoff<int> queue;
  std::vector<int> items;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(queue.take(items, std::chrono::milliseconds(5)));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(5));
  EXPECT_TRUE(items.empty());
}

TEST(Handoff, AfterTheEndComesWhatWasPutBefore) {
  Handoff<int> queue;
  queue.put(1);
  queue.close();
  queue.put(2);
  std::vector<int> items;
  EXPECT_FALSE(queue.take(items, seconds(100)));
  EXPECT_EQ(items, std::vector<int>{1});
  EXPECT_FALSE(queue.take(items, seconds(100))) << "does not wait: nothing follows";
  EXPECT_TRUE(items.empty());
}

TEST(Handoff, AFailureIsThrownToTheReceiverEveryTime) {
  Handoff<int> queue;
  queue.put(1);
  queue.fail(std::make_exception_ptr(ExchangeError("the link is down")));
  queue.close();
  std::vector<int> items;
  EXPECT_THROW(queue.take(items, seconds(100)), ExchangeError);
  EXPECT_THROW(queue.take(items, kAtOnce), ExchangeError);
}

// Items hold references, like those to versions of the weights.
TEST(Handoff, KeepsNothingThatWasTaken) {
  Handoff<std::shared_ptr<int>> queue;
  const auto value = std::make_shared<int>(3);
  std::vector<std::shared_ptr<int>> items;
  for (int i = 0; i < 3; ++i) {
    queue.put(value);
    EXPECT_TRUE(queue.take(items, kAtOnce));
    EXPECT_EQ(value.use_count(), 2);
  }
  items.clear();
  EXPECT_EQ(value.use_count(), 1);
}

// One thread puts, the other sleeps until something comes. Memory written before put() is read after take().
TEST(Handoff, BetweenThreads) {
  constexpr int kItems = 2000;
  std::vector<int> written(kItems);
  Handoff<int> there, back;
  std::jthread other([&] {
    std::vector<int> items;
    for (bool open = true; open;) {
      open = there.take(items, seconds(100));
      for (const int item : items) back.put(written[static_cast<std::size_t>(item)]);
    }
    back.close();
  });
  std::int64_t sum = 0;
  std::vector<int> items;
  for (int i = 0; i < kItems; ++i) {
    written[static_cast<std::size_t>(i)] = i + 1;
    there.put(i);
    back.take(items, kAtOnce);
    sum = std::accumulate(items.begin(), items.end(), sum);
  }
  there.close();
  for (bool open = true; open;) {
    open = back.take(items, seconds(100));
    sum = std::accumulate(items.begin(), items.end(), sum);
  }
  EXPECT_EQ(sum, std::int64_t{kItems} * (kItems + 1) / 2);
}

TEST(Handoff, AnEndWakesTheReceiver) {
  Handoff<int> queue;
  std::jthread receiver([&] {
    std::vector<int> items;
    EXPECT_FALSE(queue.take(items, seconds(1000)));
  });
  queue.close();
}

}  // namespace
}  // namespace apam::exchange
