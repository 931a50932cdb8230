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

HistoryLayout layout(std::int64_t window, std::int64_t slots) { return {kSize - 8, 8, window, slots}; }

/// Publishes the next version, all its values equal to its number.
void publish_next(WeightHistory& history, int updates = 1) {
  WritableVersion next = history.begin_next(updates);
  std::ranges::fill(next.state().host(), static_cast<float>(next.version()));
  history.publish(std::move(next));
}

bool holds(const VersionRef& ref, std::int64_t version) {
  const auto values = ref.state().host();
  return ref.version() == version && values.size() == kSize &&
         std::ranges::all_of(values, [&](float value) { return value == static_cast<float>(version); });
}

TEST(WeightHistory, KeepsTheWindow) {
  WeightHistory history(Device{}, layout(3, 3));
  EXPECT_EQ(history.layout().bytes(), 3 * kSize * sizeof(float));
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

// As a follower of sharded masters does, which receives the slots from the sequencer.
TEST(WeightHistory, RepeatsAnotherInTheSameSlots) {
  WeightHistory first(Device{}, layout(1, 4)), second(Device{}, layout(1, 4));
  publish_next(first);
  VersionRef held = first.current();  // so that the slots differ from those of a history without references
  for (int i = 0; i < 10; ++i) {
    if (i % 3 == 1) held = first.current();
    publish_next(first);
    const VersionRef newest = first.current();
    EXPECT_TRUE(second.unused(newest.slot()));
    WritableVersion next = second.begin_next(1, newest.slot());
    EXPECT_EQ(next.slot(), newest.slot());
    EXPECT_FALSE(second.unused(newest.slot())) << "it is being written";
    EXPECT_THROW(second.in_slot(newest.slot()), ExchangeError);
    EXPECT_EQ(next.state().data(), second.memory(newest.slot()).data());
    second.publish(std::move(next));
    EXPECT_FALSE(second.unused(newest.slot())) << "it is the newest";
    EXPECT_EQ(second.in_slot(newest.slot()).version(), i);
  }
}

TEST(WeightHistory, ASlotThatIsReferredToIsNotWritten) {
  WeightHistory history(Device{}, layout(1, 3));
  publish_next(history);
  VersionRef held = history.current();
  const int slot = held.slot();
  publish_next(history);
  EXPECT_FALSE(history.unused(slot));
  EXPECT_EQ(history.in_slot(slot).version(), 0) << "outside the window, but held";
  EXPECT_TRUE(throws<ExchangeError>({"slot 0 of 3", "version 2"}, [&] { history.begin_next(1, slot); }));
  held = {};
  EXPECT_TRUE(history.unused(slot));
  EXPECT_EQ(history.begin_next(1, slot).slot(), slot);
}

TEST(WeightHistory, UnknownSlotsAreErrors) {
  WeightHistory history(Device{}, layout(1, 3));
  publish_next(history);
  EXPECT_TRUE(throws<ExchangeError>({"slot 3 of 3"}, [&] { history.in_slot(3); }));
  EXPECT_TRUE(throws<ExchangeError>({"slot 2 of 3"}, [&] { history.in_slot(2); })) << "nothing was written there";
  EXPECT_TRUE(throws<ExchangeError>({"slot -1 of 3"}, [&] { history.memory(-1); }));
  EXPECT_TRUE(throws<ExchangeError>({"slot 7 of 3"}, [&] { history.begin_next(1, 7); }));
  EXPECT_FALSE(history.unused(7));
}

TEST(WeightHistory, ErrorsHaveBothValues) {
  WeightHistory history(Device{}, layout(2, 4));
  EXPECT_TRUE(throws<ExchangeError>({"4"}, [&] { history.current(); }));
  EXPECT_THROW(history.at(0), ExchangeError);
  for (int i = 0; i < 8; ++i) publish_next(history);
  // Versions outside the window are not readable, even if their memory was not reused.
  EXPECT_TRUE(throws<ExchangeError>({"5", "6", "7"}, [&] { history.at(5); }));
  EXPECT_TRUE(throws<ExchangeError>({"8", "6", "7"}, [&] { history.at(8); }));
  EXPECT_TRUE(throws<InputError>({"0", "4"}, [&] { WeightHistory(Device{}, layout(0, 4)); }));
  EXPECT_TRUE(throws<InputError>({"2", "1"}, [&] { WeightHistory(Device{}, layout(2, 1)); }));
  EXPECT_TRUE(throws<InputError>({"5", "4"}, [&] { WeightHistory(Device{}, layout(5, 4)); }));
}

TEST(WeightHistory, OneVersionIsWrittenAtATime) {
  WeightHistory history(Device{}, layout(2, 4));
  publish_next(history);
  {
    const WritableVersion next = history.begin_next();
    EXPECT_EQ(next.version(), 1);
    EXPECT_TRUE(throws<ExchangeError>({"3", "1"}, [&] { history.begin_next(3); }));
    EXPECT_TRUE(holds(history.current(), 0)) << "readable while the next is written";
  }
  publish_next(history);  // the discarded number again
  EXPECT_TRUE(holds(history.current(), 1));
}

TEST(WeightHistory, PublishesOnlyItsOwnOnce) {
  WeightHistory history(Device{}, layout(2, 4)), other(Device{}, layout(2, 4));
  WritableVersion next = history.begin_next();
  EXPECT_THROW(other.publish(std::move(next)), ExchangeError);
  history.publish(std::move(next));  // NOLINT(bugprone-use-after-move): the refusal left it as it was
  EXPECT_EQ(history.current().version(), 0);
  EXPECT_THROW(history.publish(std::move(next)), ExchangeError);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(history.begin_next().version(), 1);
}

TEST(WeightHistory, AReferenceKeepsItsVersionUnchanged) {
  WeightHistory history(Device{}, layout(2, 4));  // two slots for references outside the window
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
  WeightHistory history(Device{}, layout(1, 2));
  for (int i = 0; i < 5; ++i) publish_next(history);
  EXPECT_TRUE(holds(history.at(4), 4));
  EXPECT_THROW(history.at(3), ExchangeError);
}

TEST(WeightHistory, SeveralUpdatesMakeOneVersion) {
  WeightHistory history(Device{}, layout(4, 5));
  for (const int updates : {7, 1, 3, 2}) publish_next(history, updates);  // the first is version 0
  EXPECT_TRUE(holds(history.current(), 6));
  EXPECT_TRUE(holds(history.at(4), 4));
  EXPECT_TRUE(throws<ExchangeError>({"5", "4", "6"}, [&] { history.at(5); })) << "no such version";
  EXPECT_TRUE(throws<ExchangeError>({"1", "4", "6"}, [&] { history.at(1); })) << "it has left the window";
  EXPECT_THROW(history.begin_next(0), ExchangeError);
}

TEST(WeightHistory, MemoryOfTheCaller) {
  std::vector<float> memory(3 * kSize, -1.0F);
  WeightHistory history(std::span<float>(memory), layout(1, 3));
  publish_next(history);
  const VersionRef first = history.current();
  EXPECT_EQ(first.weights().size(), kSize - 8);
  EXPECT_EQ(first.state().data(), memory.data() + static_cast<std::size_t>(first.slot()) * kSize);
  publish_next(history);
  const VersionRef second = history.current();
  EXPECT_NE(second.slot(), first.slot());
  EXPECT_EQ(second.state().data(), memory.data() + static_cast<std::size_t>(second.slot()) * kSize);
  EXPECT_TRUE(throws<InputError>({"576", "4", "192"}, [&] { WeightHistory(std::span<float>(memory), layout(1, 4)); }));
}

// The lowest unused slot is reused, so a ring that is larger than needed leaves its rest untouched.
TEST(WeightHistory, TouchesNoMoreSlotsThanItNeeds) {
  std::vector<float> memory(6 * kSize, -1.0F);
  WeightHistory history(std::span<float>(memory), layout(1, 6));
  VersionRef held;
  for (int i = 0; i < 50; ++i) {
    publish_next(history);
    if (i % 7 == 0) held = history.current();
  }
  EXPECT_TRUE(std::all_of(memory.begin() + 3 * kSize, memory.end(), [](float value) { return value == -1.0F; }));
}

// Workers hold one version each, readers one each: the formula is enough and not more than that.
TEST(WeightHistory, SlotsForWorkersAndReaders) {
  EXPECT_EQ(HistoryLayout::slots_for(3, 2), 7);
  WeightHistory history(Device{}, layout(1, HistoryLayout::slots_for(3, 2)));
  std::vector<VersionRef> held;
  for (int i = 0; i < 5; ++i) {
    publish_next(history);
    held.push_back(history.current());
  }
  publish_next(history);
  EXPECT_EQ(history.begin_next().version(), 6);
  held.push_back(history.current());
  publish_next(history);
  EXPECT_THROW(history.begin_next(), ExchangeError);
}

TEST(WeightHistory, InPlaceTheNextVersionIsWrittenOverTheNewest) {
  std::vector<float> memory(kSize, 3.0F);
  WeightHistory history(std::span<float>(memory), layout(1, 1));
  history.publish_first(std::span<const float>(memory));
  EXPECT_EQ(memory[0], 3.0F) << "nothing is copied";
  {
    const WritableVersion next = history.begin_next();
    EXPECT_EQ(next.from().data(), next.state().data());
    EXPECT_THROW(history.current(), ExchangeError);
  }
  publish_next(history);  // the number of the discarded one
  VersionRef current = history.current();
  EXPECT_TRUE(holds(current, 1));
  EXPECT_THROW(history.begin_next(), ExchangeError) << "it is referred to";
  current = {};
  EXPECT_TRUE(history.in_place());
}

TEST(WeightHistory, OfAContinuedTrainingHasItsNumbers) {
  const std::vector<float> state(kSize, 3.0F);
  WeightHistory history(Device{}, layout(3, 4));
  history.publish_first(std::span<const float>(state), 7);
  publish_next(history);
  EXPECT_EQ(history.current().version(), 8);
  EXPECT_EQ(history.at(7).state().data()[0], 3.0F);
  EXPECT_EQ(history.begin_next(2).version(), 10);
  EXPECT_TRUE(
      throws<ExchangeError>({"version 0", "after version 8"}, [&] { history.publish_first(std::span<const float>(state)); }));
  WeightHistory other(Device{}, layout(1, 2));
  EXPECT_TRUE(throws<ExchangeError>({"version -1"}, [&] { other.publish_first(std::span<const float>(state), -1); }));
}

TEST(WeightHistory, MemoryThatDoesNotFitIsAnErrorWithItsSize) {
  const std::size_t size = std::size_t{1} << 40;
  EXPECT_TRUE(throws<DeviceError>({"100000", "1099511627776"}, [&] { WeightHistory(Device{}, {size, 0, 100000, 100000}); }));
  const std::size_t most = std::numeric_limits<std::size_t>::max() / 4;
  EXPECT_TRUE(throws<DeviceError>({"100000"}, [&] { WeightHistory(Device{}, {most, 0, 100000, 100000}); }));
}

// A reader that holds a version, or copies its reference, never sees values of another one.
TEST(WeightHistory, ReadersInOtherThreadsSeeWholeVersions) {
  constexpr std::int64_t kVersions = 3000;
  constexpr int kReaders = 3;
  WeightHistory history(Device{}, layout(4, 4 + 2 * kReaders));  // a reader holds at most two references
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
