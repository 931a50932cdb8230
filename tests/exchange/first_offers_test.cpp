// Which contributions make an update, decided from offers in order of arrival.
#include "apam/exchange/first_offers.h"

#include <gtest/gtest.h>

#include <array>
#include <csignal>

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/arrival_messages.h"
#include "tests/support/throws.h"

namespace apam::exchange {
namespace {

using support::throws;

constexpr std::int64_t kRounds = 2;

std::vector<int> ranks_of(const FirstOffers::Decision& decision) {
  std::vector<int> ranks;
  for (const EarlyGradient& arrival : decision.arrivals) ranks.push_back(arrival.rank);
  return ranks;
}

/// Ranks 2 and 0 make the next update.
FirstOffers::Decision next(FirstOffers& offers, std::int64_t update) {
  offers.offer(2, update, {.rows = 3});
  EXPECT_FALSE(offers.decide());
  offers.offer(0, update, {.rows = 1});
  const auto decision = offers.decide();
  EXPECT_TRUE(decision);
  return decision.value_or(FirstOffers::Decision{});
}

TEST(FirstOffers, TheFirstMakeAnUpdateInOrderOfTheRanks) {
  FirstOffers offers(3, 2, kRounds);
  const auto decision = next(offers, 1);
  EXPECT_EQ(decision.update, 1);
  EXPECT_EQ(ranks_of(decision), (std::vector<int>{0, 2}));
  EXPECT_EQ(decision.arrivals[1].header.rows, 3);
  EXPECT_FALSE(offers.decide());
  EXPECT_EQ(offers.late(), 0);
  offers.offer(1, 1, {});
  EXPECT_EQ(offers.late(), 1);
}

TEST(FirstOffers, NoUpdateIsDecidedWhileARankIsTooFarBehind) {
  FirstOffers offers(3, 2, kRounds);
  for (std::int64_t update = 1; update <= kRounds; ++update) {
    next(offers, update);
    offers.release(0, update);
    offers.release(2, update);
  }
  offers.offer(0, kRounds + 1, {});
  offers.offer(2, kRounds + 1, {});
  EXPECT_FALSE(offers.decide());
  offers.release(1, 1);
  const auto decision = offers.decide();
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->update, kRounds + 1);
}

TEST(FirstOffers, AnOfferBehindTheFirstIsLateEvenIfTheUpdateIsHeldBack) {
  FirstOffers offers(3, 1, kRounds);
  for (std::int64_t update = 1; update <= kRounds; ++update) {
    offers.offer(0, update, {});
    ASSERT_TRUE(offers.decide());
    offers.release(0, update);
    offers.release(1, update);
  }
  offers.offer(0, kRounds + 1, {});
  offers.offer(1, kRounds + 1, {});
  EXPECT_FALSE(offers.decide());
  EXPECT_EQ(offers.late(), 1);
  offers.release(2, 1);
  EXPECT_EQ(ranks_of(offers.decide().value()), std::vector<int>{0});
}

TEST(FirstOffers, ASignalOfALateRankIsInTheNextDecision) {
  FirstOffers offers(3, 2, kRounds);
  next(offers, 1);
  offers.offer(1, 1, {.signal = SIGTERM});
  EXPECT_EQ(next(offers, 2).arrivals.front().header.signal, SIGTERM);
}

TEST(FirstOffers, ComparesChecksums) {
  FirstOffers offers(3, 2, kRounds);
  offers.compare(1, 5, 0xab);
  offers.compare(0, 5, 0xab);
  offers.compare(0, 6, 0xcd);
  EXPECT_TRUE(throws<ExchangeError>({"after update 5", "rank 2", "00000000000000cd", "rank 1", "00000000000000ab"},
                                    [&] { offers.compare(2, 5, 0xcd); }));
}

TEST(FirstOffers, EndsWhenAllRanksHave) {
  FirstOffers offers(3, 2, kRounds);
  next(offers, 1);
  for (const int rank : {1, 0, 2}) {
    EXPECT_FALSE(offers.finished());
    offers.release(rank, 1);
    offers.finish(rank);
  }
  EXPECT_TRUE(offers.finished());
}

TEST(FirstOffers, RefusesAnotherOrder) {
  FirstOffers offers(3, 2, kRounds);
  EXPECT_TRUE(throws<ExchangeError>({"rank 1", "offers update 2", "1 to 1"}, [&] { offers.offer(1, 2, {}); }));
  EXPECT_TRUE(throws<ExchangeError>({"rank 1", "releases update 1", "0 updates"}, [&] { offers.release(1, 1); }));
  offers.offer(1, 1, {});
  EXPECT_TRUE(throws<ExchangeError>({"rank 1", "update 1 twice"}, [&] { offers.offer(1, 1, {}); }));
  offers.offer(0, 1, {});
  ASSERT_TRUE(offers.decide());
  EXPECT_TRUE(throws<ExchangeError>({"rank 0", "ends after update 0 of 1"}, [&] { offers.finish(0); }));
  offers.release(0, 1);
  EXPECT_TRUE(throws<ExchangeError>({"rank 0", "releases update 1 after 1"}, [&] { offers.release(0, 1); }));
}

TEST(ArrivalMessages, AreCheckedOnReceipt) {
  const mpi::Decision sent{{7, 3}, {{1, {.rows = 4}}, {2, {.rows = 5}}}};
  const auto received = mpi::Decision::of(sent.to_bytes(2), 2, 3);
  EXPECT_EQ(received.head.update, 7);
  EXPECT_EQ(received.head.late, 3);
  EXPECT_EQ(received.arrivals[1].header.rows, 5);
  for (const auto& [first, second, wrong] : {std::array{1, 1, 1}, {2, 0, 0}, {0, 3, 3}, {-1, 2, -1}}) {
    const mpi::Decision bad{{7, 0}, {{first, {}}, {second, {}}}};
    EXPECT_TRUE(throws<ExchangeError>({"update 7", fmt::format("rank {}", wrong), "expected", "2"},
                                      [&] { mpi::Decision::of(bad.to_bytes(2), 2, 3); }));
  }
  mpi::Note note;
  note.kind = static_cast<mpi::Note::Kind>(9);
  EXPECT_TRUE(throws<ExchangeError>({"rank 4", "kind 9", "0 to 3"}, [&] { mpi::check(note, 4); }));
}

}  // namespace
}  // namespace apam::exchange
