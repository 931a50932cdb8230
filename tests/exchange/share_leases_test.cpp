// Shares of mini-batches for the first K of N ranks: each is in one update, whichever ranks are early.
#include "apam/exchange/share_leases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "apam/exchange/error.h"
#include "kernels/runtime/philox.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

/// batch * K + part; -1: none.
std::vector<std::int64_t> held(const ShareLeases& leases, int ranks) {
  std::vector<std::int64_t> shares;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto share = leases.of(rank);
    shares.push_back(share ? share->batch * share->parts + share->part : -1);
  }
  return shares;
}

TEST(ShareLeases, DroppedSharesGoToTheRanksThatWereEarly) {
  ShareLeases leases(4, 3, 3);
  EXPECT_EQ(held(leases, 4), (std::vector<std::int64_t>{0, 1, 2, 3}));
  leases.apply(std::vector<int>{1, 2, 3});
  EXPECT_EQ(held(leases, 4), (std::vector<std::int64_t>{6, 0, 4, 5}));
  EXPECT_EQ(leases.of(0)->batch, 2);
  EXPECT_EQ(leases.of(3)->part, 2);
  EXPECT_EQ(leases.of(3)->parts, 3);
  leases.apply(std::vector<int>{1, 2, 3});
  EXPECT_EQ(held(leases, 4), (std::vector<std::int64_t>{-1, 6, 7, 8})) << "the last update has no share for a backup rank";
  EXPECT_TRUE(throws<ExchangeError>({"rank 0", "no share"}, [&] { leases.apply(std::vector<int>{0, 1, 2}); }));
}

TEST(ShareLeases, WithoutBackupRanksRankRHasPartR) {
  ShareLeases leases(3, 3, 4);
  for (int update = 0; update < 4; ++update) {
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(leases.of(rank)->batch, update);
      EXPECT_EQ(leases.of(rank)->part, rank);
    }
    leases.apply(std::vector<int>{0, 1, 2});
  }
  EXPECT_EQ(leases.counts().abandoned, 0);
}

TEST(ShareLeases, EveryShareIsInOneUpdate) {
  constexpr std::int64_t kUpdates = 40;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Random random(seed, Purpose::sample, 0);
    const int ranks = 1 + static_cast<int>(random.below(9, 0));
    const int first = 1 + static_cast<int>(random.below(static_cast<std::uint32_t>(ranks), 1));
    ShareLeases leases(ranks, first, kUpdates);
    std::multiset<std::int64_t> applied;
    for (std::uint64_t update = 0; update < kUpdates; ++update) {
      const auto shares = held(leases, ranks);
      std::vector<int> able;
      for (int rank = 0; rank < ranks; ++rank) {
        if (shares[static_cast<std::size_t>(rank)] >= 0) able.push_back(rank);
      }
      std::set<std::int64_t> distinct(shares.begin(), shares.end());
      distinct.erase(-1);
      ASSERT_EQ(distinct.size(), able.size());
      std::ranges::sort(able, {}, [&](int rank) { return random.word(100 + update * 16 + static_cast<std::uint64_t>(rank)); });
      ASSERT_GE(static_cast<int>(able.size()), first);
      able.resize(static_cast<std::size_t>(first));
      std::ranges::sort(able);
      for (const int rank : able) applied.insert(shares[static_cast<std::size_t>(rank)]);
      leases.apply(able);
    }
    std::vector<std::int64_t> all(static_cast<std::size_t>(kUpdates * first));
    std::iota(all.begin(), all.end(), 0);
    EXPECT_TRUE(std::ranges::equal(applied, all)) << seed;
    EXPECT_EQ(leases.counts().granted, leases.counts().applied + leases.counts().abandoned);
    EXPECT_EQ(leases.counts().applied, kUpdates * first);
  }
}

TEST(ShareLeases, RefusesOtherNumbers) {
  EXPECT_TRUE(throws<InputError>({"first 0 of 2"}, [] { ShareLeases(2, 0, 1); }));
  EXPECT_TRUE(throws<InputError>({"first 3 of 2"}, [] { ShareLeases(2, 3, 1); }));
  ShareLeases leases(3, 2, 5);
  EXPECT_TRUE(throws<ExchangeError>({"by 3 ranks", "expected 2"}, [&] { leases.apply(std::vector<int>{0, 1, 2}); }));
  EXPECT_TRUE(throws<ExchangeError>({"rank 1", "no share"}, [&] { leases.apply(std::vector<int>{1, 1}); }));
}

}  // namespace
}  // namespace apam::exchange::test
