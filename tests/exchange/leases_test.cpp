#include "apam/exchange/leases.h"

#include <gtest/gtest.h>

#include <set>

#include "apam/exchange/error.h"
#include "kernels/runtime/philox.h"

namespace apam::exchange {
namespace {

std::vector<std::int64_t> dealt(const Reply& reply) { return {reply.leases.begin(), reply.leases.begin() + reply.lease_count}; }

std::vector<std::int64_t> first(Leases& leases, int worker) {
  Reply reply;
  leases.deal_first(worker, reply);
  return dealt(reply);
}

std::vector<std::int64_t> next(Leases& leases, int worker) {
  Reply reply;
  leases.deal_next(worker, reply);
  return dealt(reply);
}

void fulfil(Leases& leases, int worker, std::int64_t batch) {
  leases.check_oldest(worker, batch);
  leases.apply(worker);
}

using Numbers = std::vector<std::int64_t>;

TEST(Leases, StartWithOneBatchAndOneAhead) {
  Leases leases(3, 100);
  EXPECT_EQ(first(leases, 2), (Numbers{2, 5}));
  EXPECT_EQ(first(leases, 0), (Numbers{0, 3}));
  EXPECT_EQ(first(leases, 1), (Numbers{1, 4}));
  EXPECT_EQ(next(leases, 1), Numbers{6});
  EXPECT_EQ(next(leases, 0), Numbers{7});
}

TEST(Leases, StartWithTwoAheadForWorkersThatComputeAhead) {
  Leases leases(3, 8, 3);
  EXPECT_EQ(first(leases, 1), (Numbers{1, 4, 7}));
  EXPECT_EQ(next(leases, 1), Numbers{}) << "the others are reserved";
  EXPECT_EQ(first(leases, 2), (Numbers{2, 5}));
  leases.abandon(0);  // before its first weights
  for (const std::int64_t batch : {0, 3, 6}) EXPECT_EQ(next(leases, 2), Numbers{batch});
  EXPECT_EQ(next(leases, 2), Numbers{});
  EXPECT_THROW(Leases(3, 8, 4), InputError) << "a reply has room for 3";
}

TEST(Leases, FewBatchesGoToTheFirstWorkers) {
  Leases leases(4, 6);
  EXPECT_EQ(first(leases, 0), (Numbers{0, 4}));
  EXPECT_EQ(first(leases, 1), (Numbers{1, 5}));
  EXPECT_EQ(first(leases, 2), Numbers{2});
  EXPECT_EQ(first(leases, 3), Numbers{3});
  EXPECT_EQ(next(leases, 0), Numbers{});

  Leases fewer(4, 2);
  EXPECT_EQ(first(fewer, 1), Numbers{1});
  EXPECT_EQ(first(fewer, 2), Numbers{});
  EXPECT_EQ(fewer.outstanding(2), 0U);
}

TEST(Leases, EveryNumberIsDealtOnceInOrder) {
  for (int workers = 1; workers <= 5; ++workers) {
    for (std::int64_t total = 0; total <= 17; ++total) {
      Leases leases(workers, total);
      std::vector<std::deque<std::int64_t>> held(static_cast<std::size_t>(workers));
      std::set<std::int64_t> seen;
      const auto take = [&](int worker, const Numbers& numbers) {
        for (const auto number : numbers) {
          EXPECT_TRUE(seen.insert(number).second) << number;
          held[static_cast<std::size_t>(worker)].push_back(number);
        }
      };
      for (int worker = 0; worker < workers; ++worker) take(worker, first(leases, worker));
      for (int step = 0; step < 100; ++step) {
        const int worker = step * 7 % 3 % workers;  // some work more than others
        auto& mine = held[static_cast<std::size_t>(worker)];
        if (mine.empty()) continue;
        fulfil(leases, worker, mine.front());
        mine.pop_front();
        take(worker, next(leases, worker));
        EXPECT_LE(leases.outstanding(worker), 2U);
      }
      EXPECT_EQ(static_cast<std::int64_t>(seen.size()), total) << workers << " workers";
      EXPECT_TRUE(seen.empty() || *seen.rbegin() == total - 1);
    }
  }
}

TEST(Leases, OnlyTheOldestLeaseOfTheWorkerCanBeFulfilled) {
  Leases leases(2, 10);
  first(leases, 0);
  EXPECT_THROW(fulfil(leases, 0, 2), ExchangeError);  // its second
  EXPECT_THROW(fulfil(leases, 0, 1), ExchangeError);  // another's
  EXPECT_THROW(fulfil(leases, 1, 1), ExchangeError);  // not dealt yet
  fulfil(leases, 0, 0);
  EXPECT_THROW(fulfil(leases, 0, 0), ExchangeError);  // twice
  fulfil(leases, 0, 2);
  EXPECT_THROW(fulfil(leases, 0, 4), ExchangeError);  // none left
}

// The lowest returned batch comes first, then new ones.
TEST(Leases, ReturnedBatchesAreDealtAgain) {
  Leases leases(3, 9);
  first(leases, 0);
  first(leases, 1);
  leases.refuse(0);  // batch 0
  EXPECT_EQ(next(leases, 1), Numbers{0});
  leases.abandon(1);  // 1, 4 and 0
  leases.abandon(2);  // 2 and 5 were reserved for it
  leases.cancel(0);   // 3
  for (const std::int64_t batch : {0, 1, 2, 3, 4, 5, 6, 7, 8}) EXPECT_EQ(next(leases, 0), Numbers{batch});
  EXPECT_FALSE(leases.can_deal());
  EXPECT_EQ(next(leases, 0), Numbers{});
  const LeaseCounts& counts = leases.counts();
  EXPECT_EQ(counts.refused, 1);
  EXPECT_EQ(counts.cancelled, 1);
  EXPECT_EQ(counts.abandoned, 3) << "what was only reserved was not granted";
  EXPECT_EQ(counts.granted, 2 + 2 + 1 + 9);
  EXPECT_EQ(counts.granted, counts.ended() + 9) << "worker 0 holds nine";
}

/// What becomes of the oldest lease of a random worker.
void step(Leases& leases, const Random& random, std::uint64_t number, bool keeps, std::multiset<std::int64_t>& applied,
          std::vector<std::deque<std::int64_t>>& held) {
  const auto worker = static_cast<int>(random.below(static_cast<std::uint32_t>(held.size()), 2 * number));
  auto& mine = held[static_cast<std::size_t>(worker)];
  if (mine.empty()) return;
  const auto fate = random.below(8, 2 * number + 1);
  if (fate == 0) {
    leases.refuse(worker);
  } else if (fate == 1 && keeps) {
    leases.keep(worker);
    if (leases.kept() < 2) {
      mine.pop_front();
      for (const auto batch : next(leases, worker)) mine.push_back(batch);
      return;
    }
    leases.abandon_kept();
  } else {
    leases.apply(worker);
    applied.insert(mine.front());
  }
  mine.pop_front();
  for (const auto batch : next(leases, worker)) mine.push_back(batch);
}

// The fates of batches are random, and the trainings stop several times after a random number of steps.
TEST(Leases, OfAContinuedTrainingAreThoseThatWereNotApplied) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Random random(seed, Purpose::sample, 0);
    const auto total = static_cast<std::int64_t>(random.below(40, 1));
    std::multiset<std::int64_t> applied;
    BatchProgress done;
    for (std::uint64_t part = 0; part < 4; ++part) {
      const Random steps(seed, Purpose::sample, part + 1);
      const int workers = 1 + static_cast<int>(steps.below(4, 0));
      Leases leases(workers, total, 2 + static_cast<int>(steps.below(2, 1)), done);
      std::vector<std::deque<std::int64_t>> held(static_cast<std::size_t>(workers));
      for (int worker = 0; worker < workers; ++worker) {
        if (part < 3 && steps.below(3, 2) == 0 && worker > 0) continue;  // has not come yet
        for (const auto batch : first(leases, worker)) held[static_cast<std::size_t>(worker)].push_back(batch);
      }
      const std::uint64_t count = part < 3 ? steps.below(20, 3) : 2000;
      for (std::uint64_t i = 0; i < count; ++i) step(leases, steps, 10 + i, part < 3, applied, held);
      leases.abandon_kept();
      done = leases.progress();
      EXPECT_EQ(done.applied(), static_cast<std::int64_t>(applied.size()));
      for (const auto batch : done.open) EXPECT_EQ(applied.count(batch), 0U) << batch;
      EXPECT_EQ(done.counts.granted, done.counts.ended());
    }
    EXPECT_TRUE(done.open.empty());
    EXPECT_EQ(done.next, total);
    for (std::int64_t batch = 0; batch < total; ++batch) EXPECT_EQ(applied.count(batch), 1U) << batch;
  }
}

TEST(Leases, RefuseInvalidNumbers) {
  EXPECT_THROW(Leases(0, 1), InputError);
  EXPECT_THROW(Leases(1, -1), InputError);
  EXPECT_THROW(Leases(1, 5, 2, {.next = 6}), InputError);
  EXPECT_THROW(Leases(1, 5, 2, {.next = -1}), InputError);
  EXPECT_THROW(Leases(1, 5, 2, {.next = 3, .open = {3}}), InputError);
  EXPECT_THROW(Leases(1, 5, 2, {.next = 3, .open = {1, 0}}), InputError);
  EXPECT_THROW(Leases(1, 5, 2, {.next = 3, .open = {1, 1}}), InputError);
}

}  // namespace
}  // namespace apam::exchange
