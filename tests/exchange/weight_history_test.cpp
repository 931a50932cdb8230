// Versions of the weights: which can be read, when memory is reused, errors, and readers in other threads.
#include "apam/exchange/weight_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <thread>

#include "apam/exchange/error.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

constexpr std::size_t kSize = 48;

/// Publishes the next version, all its values equal to its number.
void publish_next(WeightHistory& history) {
  WritableVersion next = history.begin_next();
  std::ranges::fill(next.weights().host(), static_cast<float>(next.version()));
  history.publish(std::move(next));
}

bool holds(const VersionRef& ref, std::int64_t version) {
  const auto values = ref.weights().host();
  return ref.version() == version && values.size() == kSize &&
         std::ranges::all_of(values, [&](float value) { return value == static_cast<float>(version); });
}

TEST(WeightHistory, KeepsTheWindow) {
  WeightHistory history({}, kSize, 3, 3);
  EXPECT_EQ(history.bytes(), 3 * kSize * sizeof(float));
  for (std::int64_t version = 0; version < 10; ++version) {
    publish_next(history);
    EXPECT_TRUE(holds(history.current(), version));
    const std::int64_t oldest = std::max<std::int64_t>(0, version - 2);
    for (std::int64_t kept = oldest; kept <= version; ++kept) EXPECT_TRUE(holds(history.at(kept), kept));
    const auto numbers = fmt::format("version {}", oldest - 1);
    EXPECT_TRUE(throws<ExchangeError>({numbers}, [&] { history.at(oldest - 1); }));
    EXPECT_THROW(history.at(version + 1), ExchangeError);
  }
}

TEST(WeightHistory, ErrorsHaveBothValues) {
  WeightHistory history({}, kSize, 2, 4);
  EXPECT_TRUE(throws<ExchangeError>({"4"}, [&] { history.current(); }));
  EXPECT_THROW(history.at(0), ExchangeError);
  for (int i = 0; i < 8; ++i) publish_next(history);
  // Versions outside the window are not readable, even if their memory was not reused.
  EXPECT_TRUE(throws<ExchangeError>({"5", "6", "7"}, [&] { history.at(5); }));
  EXPECT_TRUE(throws<ExchangeError>({"8", "6", "7"}, [&] { history.at(8); }));
  EXPECT_TRUE(throws<InputError>({"0", "4"}, [&] { WeightHistory({}, kSize, 0, 4); }));
  EXPECT_TRUE(throws<InputError>({"1", "1"}, [&] { WeightHistory({}, kSize, 1, 1); }));
  EXPECT_TRUE(throws<InputError>({"5", "4"}, [&] { WeightHistory({}, kSize, 5, 4); }));
}

TEST(WeightHistory, OneVersionIsWrittenAtATime) {
  WeightHistory history({}, kSize, 2, 4);
  publish_next(history);
  {
    const WritableVersion next = history.begin_next();
    EXPECT_EQ(next.version(), 1);
    EXPECT_TRUE(throws<ExchangeError>({"2", "1"}, [&] { history.begin_next(); }));
    EXPECT_TRUE(holds(history.current(), 0)) << "readable while the next is written";
  }
  publish_next(history);  // the discarded number again
  EXPECT_TRUE(holds(history.current(), 1));
}

TEST(WeightHistory, PublishesOnlyItsOwnOnce) {
  WeightHistory history({}, kSize, 2, 4), other({}, kSize, 2, 4);
  WritableVersion next = history.begin_next();
  EXPECT_THROW(other.publish(std::move(next)), ExchangeError);
  history.publish(std::move(next));  // NOLINT(bugprone-use-after-move): the refusal left it as it was
  EXPECT_EQ(history.current().version(), 0);
  EXPECT_THROW(history.publish(std::move(next)), ExchangeError);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(history.begin_next().version(), 1);
}

TEST(WeightHistory, AReferenceKeepsItsVersionUnchanged) {
  WeightHistory history({}, kSize, 2, 4);  // two slots for references outside the window
  publish_next(history);
  std::optional<VersionRef> first = history.current(), copy = first;
  publish_next(history);
  const VersionRef second = history.at(1);
  for (int i = 0; i < 10; ++i) publish_next(history);
  EXPECT_TRUE(holds(*copy, 0));
  EXPECT_TRUE(holds(second, 1));

  const VersionRef third = history.current();  // version 11: a third reference is more than the slots allow
  publish_next(history);
  EXPECT_TRUE(throws<ExchangeError>({"13", "4", "1", "3"}, [&] { history.begin_next(); }));
  first.reset();
  EXPECT_THROW(history.begin_next(), ExchangeError) << "the copy refers to version 0 too";
  copy.reset();
  publish_next(history);
  EXPECT_TRUE(holds(history.current(), 13));
  EXPECT_TRUE(holds(third, 11));
}

TEST(WeightHistory, AWindowOfOneNeedsTwoSlots) {
  WeightHistory history({}, kSize, 1, 2);
  for (int i = 0; i < 5; ++i) publish_next(history);
  EXPECT_TRUE(holds(history.at(4), 4));
  EXPECT_THROW(history.at(3), ExchangeError);
}

TEST(WeightHistory, MemoryThatDoesNotFitIsAnErrorWithItsSize) {
  const std::size_t size = std::size_t{1} << 40;
  EXPECT_TRUE(throws<DeviceError>({"100000", "1099511627776"}, [&] { WeightHistory({}, size, 100000, 100000); }));
  const std::size_t most = std::numeric_limits<std::size_t>::max() / 4;
  EXPECT_TRUE(throws<DeviceError>({"100000"}, [&] { WeightHistory({}, most, 100000, 100000); }));
}

// A reader that holds a version, or copies its reference, never sees values of another one.
TEST(WeightHistory, ReadersInOtherThreadsSeeWholeVersions) {
  constexpr std::int64_t kVersions = 3000;
  constexpr int kReaders = 3;
  WeightHistory history({}, kSize, 4, 4 + 2 * kReaders);  // a reader holds at most two references
  publish_next(history);
  std::atomic<bool> done = false;
  std::atomic<std::int64_t> torn = 0, reads = 0;
  std::vector<std::thread> readers;
  readers.reserve(kReaders);
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      std::int64_t last = 0;
      while (!done || reads < kReaders) {
        const VersionRef newest = history.current();
        if (newest.version() < last || !holds(newest, newest.version())) ++torn;
        last = newest.version();
        if (r == 0) {
          const VersionRef copy = newest;  // NOLINT(performance-unnecessary-copy-initialization): it counts
          std::this_thread::yield();
          if (!holds(copy, last)) ++torn;
        } else {
          try {
            const VersionRef older = history.at(std::max<std::int64_t>(0, last - r));
            if (!holds(older, std::max<std::int64_t>(0, last - r))) ++torn;
          } catch (const ExchangeError&) {  // it left the window meanwhile
          }
        }
        ++reads;
      }
    });
  }
  for (std::int64_t version = 1; version < kVersions; ++version) publish_next(history);
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
  EXPECT_GT(reads, 0);
  EXPECT_TRUE(holds(history.current(), kVersions - 1));
}

}  // namespace
}  // namespace apam::exchange::test
