#include "apam/exchange/cores_of_ranks.h"

#include <gtest/gtest.h>

#include "kernels/runtime/error.h"

namespace apam::exchange {
namespace {

using Threads = std::vector<int>;

RankCores rank(std::string_view cpus, const std::string& host = "a", std::optional<double> quota = {}, bool computes = true) {
  return {host, {CpuSet::parse(cpus), quota}, computes};
}

RankCores master(std::string_view cpus, const std::string& host = "a", std::optional<double> quota = {}) {
  return rank(cpus, host, quota, false);
}

/// `requested`: by all ranks.
Threads threads(std::vector<RankCores> ranks, int requested = 0) {
  for (RankCores& each : ranks) each.requested = requested;
  return threads_of_ranks(ranks);
}

TEST(ThreadsOfRanks, one_rank_has_its_whole_mask) {
  EXPECT_EQ(threads({rank("0-7")}), (Threads{8}));
  EXPECT_EQ(threads({rank("3")}), (Threads{1}));
  EXPECT_EQ(threads({rank("0-1023,4096-5119")}), (Threads{2048}));
}

TEST(ThreadsOfRanks, unbound_ranks_divide_the_host) {
  EXPECT_EQ(threads({rank("0-7"), rank("0-7")}), (Threads{4, 4}));
  EXPECT_EQ(threads({rank("0-7"), rank("0-7"), rank("0-7")}), (Threads{2, 2, 2}));
  EXPECT_EQ(threads({rank("0-5"), rank("0-5"), rank("0-5")}), (Threads{2, 2, 2}));  // 6 times 1/3, in spite of rounding
}

TEST(ThreadsOfRanks, bound_ranks_keep_their_masks) {
  EXPECT_EQ(threads({rank("0"), rank("1"), rank("2")}), (Threads{1, 1, 1}));
  EXPECT_EQ(threads({rank("0-3"), rank("4-7"), rank("8-11"), rank("12-15")}), (Threads{4, 4, 4, 4}));
  EXPECT_EQ(threads({rank("0-1"), rank("2-7")}), (Threads{2, 6}));
}

TEST(ThreadsOfRanks, two_ranks_per_socket_divide_its_mask) {
  EXPECT_EQ(threads({rank("0-7"), rank("0-7"), rank("8-15"), rank("8-15")}), (Threads{4, 4, 4, 4}));
  EXPECT_EQ(threads({rank("0-7"), rank("0-7"), rank("8-15")}), (Threads{4, 4, 8}));
}

TEST(ThreadsOfRanks, each_host_is_divided_separately) {
  EXPECT_EQ(threads({rank("0-7", "a"), rank("0-7", "a"), rank("0-7", "b")}), (Threads{4, 4, 8}));
  EXPECT_EQ(threads({rank("0-3", "a"), rank("0-15", "b"), rank("0-3", "a"), rank("0-15", "b")}), (Threads{2, 8, 2, 8}));
}

TEST(ThreadsOfRanks, more_ranks_than_cores_have_one_thread_each) {
  EXPECT_EQ(threads({rank("0-1"), rank("0-1"), rank("0-1")}), (Threads{1, 1, 1}));
  EXPECT_EQ(threads({rank("5"), rank("5")}), (Threads{1, 1}));
}

TEST(ThreadsOfRanks, overlaps_of_masks_are_divided) {
  EXPECT_EQ(threads({rank("0-3"), rank("2-5")}), (Threads{3, 3}));                  // 2 + 2/2 each
  EXPECT_EQ(threads({rank("0-7"), rank("0-3")}), (Threads{6, 2}));                  // 4 + 4/2, 4/2
  EXPECT_EQ(threads({rank("0-2"), rank("1-3"), rank("2-4")}), (Threads{1, 1, 1}));  // 1 + 1/2 + 1/3, 1/2 + 1/3 + 1/2
  EXPECT_EQ(threads({rank("0-7"), rank("0-7"), rank("0-1")}), (Threads{3, 3, 1}));  // 6/2 + 2/3, 2/3
}

TEST(ThreadsOfRanks, a_quota_caps_the_sum_of_a_host) {
  EXPECT_EQ(threads({rank("0-7", "a", 4.0), rank("0-7", "a", 4.0)}), (Threads{2, 2}));
  EXPECT_EQ(threads({rank("0-3", "a", 6.0), rank("4-7", "a", 6.0)}), (Threads{3, 3}));
  EXPECT_EQ(threads({rank("0-7", "a", 2.5), rank("0-7", "b")}), (Threads{3, 8}));  // rounded up, as Cores::count() does
  EXPECT_EQ(threads({rank("0-7", "a", 0.5), rank("0-7", "a", 0.5)}), (Threads{1, 1}));
  EXPECT_EQ(threads({rank("0-7", "a", 100.0), rank("0-7", "a")}), (Threads{4, 4}));
  EXPECT_EQ(threads({rank("0-7", "a", 2.0), rank("0-7", "a", 6.0)}), (Threads{1, 1}));  // the minimum
}

TEST(ThreadsOfRanks, a_master_gets_the_rest) {
  EXPECT_EQ(threads({master("0-7"), rank("0-7"), rank("0-7"), rank("0-7")}), (Threads{2, 2, 2, 2}));
  EXPECT_EQ(threads({master("0-1"), rank("0-1"), rank("0-1")}), (Threads{1, 1, 1}));
  EXPECT_EQ(threads({master("0-3"), rank("4-7"), rank("8-11")}), (Threads{4, 4, 4}));
  EXPECT_EQ(threads({master("0-7"), rank("4-7")}), (Threads{4, 4}));
  EXPECT_EQ(threads({master("0-7", "a"), rank("0-7", "b")}), (Threads{8, 8}));
  EXPECT_EQ(threads({master("0-7", "a", 5.0), rank("0-3", "a", 5.0)}), (Threads{1, 4}));
  EXPECT_EQ(threads({master("0-7", "a", 4.0), master("0-7", "a", 4.0), rank("0-7", "b")}), (Threads{2, 2, 8}));
  EXPECT_EQ(threads({master("0-7"), master("0-7"), rank("0-1"), rank("2-3")}), (Threads{2, 2, 2, 2}));
  EXPECT_EQ(threads({master("0-1"), master("0-1"), rank("0-1")}), (Threads{1, 1, 2}));
}

TEST(ThreadsOfRanks, a_requested_number_is_kept) {
  EXPECT_EQ(threads({rank("0-1"), rank("0-1")}, 16), (Threads{16, 16}));
  EXPECT_EQ(threads({rank("0-7", "a", 2.0), rank("0-7", "a", 2.0)}, 3), (Threads{3, 3}));
  EXPECT_EQ(threads({master("0-7"), rank("0-7"), rank("0-7")}, 3), (Threads{2, 3, 3}));
  EXPECT_EQ(threads({master("0-7"), rank("0-7"), rank("0-7")}, 16), (Threads{1, 16, 16}));
}

TEST(ThreadsOfRanks, ranks_may_request_different_numbers) {
  std::vector<RankCores> ranks{master("0-7"), rank("0-7"), rank("0-7")};
  ranks[0].requested = 5;  // without an effect: it does not compute
  ranks[2].requested = 3;
  EXPECT_EQ(threads_of_ranks(ranks), (Threads{1, 4, 3}));
}

TEST(ThreadsOfRanks, openmp_limits_each_rank) {
  std::vector<RankCores> ranks{master("0-7"), rank("0-7"), rank("0-7")};
  ranks[1].cores.limit = 2;
  EXPECT_EQ(threads(ranks), (Threads{2, 2, 4}));
  ranks[0].cores.limit = 1;
  EXPECT_EQ(threads(ranks), (Threads{1, 2, 4}));
}

TEST(ThreadsOfRanks, an_unknown_mask_is_one_core) { EXPECT_EQ(threads({rank(""), master("")}), (Threads{1, 1})); }

TEST(RankCores, converts_to_text_and_back) {
  RankCores limited = rank("0-7");
  limited.cores.limit = 3;
  limited.requested = 5;
  for (const RankCores& sent : {rank("0-3,8", "node-7.local"), master("", "a|b", 0.25), rank("0-4095", "", 1e-3), limited}) {
    const RankCores received = RankCores::from_text(sent.to_text());
    EXPECT_EQ(received.host, sent.host);
    EXPECT_EQ(received.cores.cpus, sent.cores.cpus);
    EXPECT_EQ(received.cores.quota, sent.cores.quota);
    EXPECT_EQ(received.cores.limit, sent.cores.limit);
    EXPECT_EQ(received.computes, sent.computes);
    EXPECT_EQ(received.requested, sent.requested);
  }
}

TEST(RankCores, other_text_is_refused) {
  for (const char* text : {"", "w|0|", "w|0||a", "w|0||1|a", "x|0||1|0|a", "w|zero||1|0|a", "w|0|much|1|0|a", "w|0|-1|1|0|a",
                           "w|0|1 |1|0|a", "w|0||0|0|a", "w|0|||0|a", "w|0||1||a", "w|0||1|-1|a", "w|0||1|2 |a"}) {
    EXPECT_THROW(RankCores::from_text(text), InputError) << text;
  }
}

}  // namespace
}  // namespace apam::exchange
