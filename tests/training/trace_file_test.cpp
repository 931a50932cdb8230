// The file of --trace: its form, the clocks of several hosts, and its bounds.
#include "apam/training/trace_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "apam/training/json_text.h"
#include "kernels/runtime/error.h"

namespace apam::training {
namespace {

using exchange::TraceEvent;
using exchange::TraceKind;

class TraceFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "trace-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Json written(const std::vector<RankTrace>& ranks) const {
    write_trace(folder_ / "t.json", ranks);
    std::ifstream file(folder_ / "t.json");
    return Json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
  }

  static std::vector<Json> events(const Json& file, const std::string& name) {
    std::vector<Json> found;
    for (const Json& event : file["traceEvents"]) {
      if (event["name"] == name) found.push_back(event);
    }
    return found;
  }

  std::filesystem::path folder_;
};

TEST_F(TraceFile, HasTracksAndEventsInMicroseconds) {
  RankTrace rank{.name = "master \"0\""};
  rank.tracks.push_back({"exchange",
                         7,
                         {{.begin = 5000, .end = 5000, .version = 3, .number = 9, .worker = 1, .kind = TraceKind::gradient},
                          {.begin = 2000, .end = 4500, .number = 2, .kind = TraceKind::wait}}});
  rank.tracks.push_back({"evaluation", 0, {}});
  const Json file = written({rank});
  EXPECT_EQ(events(file, "process_name").at(0)["args"]["name"], "rank 0: master \"0\"");
  EXPECT_EQ(events(file, "thread_name").size(), 2U);
  EXPECT_EQ(events(file, "wait").at(0), Json::parse(R"({"name":"wait","ph":"X","ts":0.0,"pid":0,"tid":0,"dur":2.5,
                                                        "args":{"gradients":2}})"));
  EXPECT_EQ(events(file, "gradient").at(0), Json::parse(R"({"name":"gradient","ph":"i","ts":3.0,"pid":0,"tid":0,"s":"t",
                                                            "args":{"version":3,"batch":9,"worker":1}})"));
  EXPECT_EQ(file["otherData"]["events_dropped"], 7);
  EXPECT_EQ(file["otherData"]["ranks"][0]["events_dropped"]["exchange"], 7);
}

// Rank 1's clock is 1 ms ahead: what it calls 1'002'000 ns is 2'000 ns on rank 0. Rank 2 has gone.
TEST_F(TraceFile, PutsAllRanksOnTheClockOfRank0) {
  const auto rank = [](std::int64_t offset, std::int64_t at) {
    RankTrace trace{.name = "r", .clock_offset = offset, .clock_error = 40};
    trace.tracks.push_back({"exchange", 0, {{.begin = at, .end = at + 100, .kind = TraceKind::pull}}});
    return trace;
  };
  const Json file = written({rank(0, 1'000), rank(1'000'000, 1'002'000), RankTrace{}, rank(0, 3'000)});
  const auto pulls = events(file, "pull");
  ASSERT_EQ(pulls.size(), 3U);
  EXPECT_EQ(pulls[0]["ts"], 0.0);
  EXPECT_EQ(pulls[1]["ts"], 1.0);
  EXPECT_EQ(pulls[2]["ts"], 2.0);
  EXPECT_EQ(pulls[2]["pid"], 3);
  EXPECT_EQ(file["otherData"]["ranks"][1]["clock_offset_us"], 1000.0);
  EXPECT_EQ(file["otherData"]["ranks"][1]["clock_error_us"], 0.04);
}

TEST_F(TraceFile, ManyEventsAreWrittenWhole) {
  RankTrace rank{.name = "r"};
  rank.tracks.push_back({"exchange", 0, std::vector<TraceEvent>(20'000, {.begin = 1, .end = 2, .version = 123'456})});
  EXPECT_EQ(events(written({rank}), "batch").size(), 20'000U);
  EXPECT_EQ(events(written({}), "batch").size(), 0U);
}

TEST(RankTrace, SurvivesTheTransfer) {
  exchange::TraceTrack track("exchange", 2);
  for (std::int64_t i = 0; i < 3; ++i)
    track.add({.begin = i, .end = i + 1, .version = -1, .number = 5, .kind = TraceKind::push});
  RankTrace sent{.name = "worker 0", .clock_offset = -7, .clock_error = 3};
  sent.add(track);
  sent.add(exchange::TraceTrack("evaluation", 4));
  const RankTrace got = RankTrace::from_bytes(sent.to_bytes());
  EXPECT_EQ(got.name, "worker 0");
  EXPECT_EQ(got.clock_offset, -7);
  EXPECT_EQ(got.clock_error, 3);
  ASSERT_EQ(got.tracks.size(), 2U);
  EXPECT_EQ(got.tracks[0].dropped, 1);
  ASSERT_EQ(got.tracks[0].events.size(), 2U);
  EXPECT_EQ(got.tracks[0].events[1].end, 2);
  EXPECT_EQ(got.tracks[0].events[1].kind, TraceKind::push);
  EXPECT_TRUE(got.tracks[1].events.empty());
}

TEST(RankTrace, RefusesWhatItHasNotWritten) {
  RankTrace rank{.name = "r"};
  rank.tracks.push_back({"exchange", 0, {TraceEvent{}}});
  const std::string bytes = rank.to_bytes();
  EXPECT_THROW(RankTrace::from_bytes(""), InputError);
  EXPECT_THROW(RankTrace::from_bytes("{}\n"), InputError);
  EXPECT_THROW(RankTrace::from_bytes(bytes.substr(0, bytes.size() - 1)), InputError);
}

TEST(RankTrace, ItsEventsAreBounded) {
  EXPECT_EQ(trace_capacity(1), kTraceEventsPerTrack);
  for (const int ranks : {1, 31, 64, 1000}) {
    EXPECT_LE(trace_capacity(ranks) * static_cast<std::size_t>(ranks + 1), kTraceEvents + kTraceEventsPerTrack);
    EXPECT_GT(trace_capacity(ranks), 500U);
  }
}

}  // namespace
}  // namespace apam::training
