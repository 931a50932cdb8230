// What is recorded of the events of a run, and workers that a replay takes from it. That replays end with the same bits is a
// law (lawful_run.h).
#include "apam/exchange/drivers/replay.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "apam/exchange/error.h"
#include "tests/exchange/support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using Kind = RecordedEvent::Kind;

GradientReady gradient(int worker, int signal = 0, int cancelled = 0) {
  return {{worker, {.rows = 1, .signal = signal, .cancelled = cancelled}, {}}};
}

TEST(Replay, RecordsWhatDeterminesARun) {
  const std::vector<Event> start{Joined{0}, Joined{1}, Joined{2}};
  EXPECT_EQ(recorded(start), (RecordedCall{{Kind::start, 3}}));
  const std::vector<Event> events{gradient(2),           gradient(0, 15),  gradient(1, 0, 1), Tick{},
                                  Departed{2, "killed"}, StopRequested{2}, gradient(3, 9, 1)};
  EXPECT_EQ(recorded(events), (RecordedCall{{Kind::gradient, 2},
                                            {Kind::gradient, 0, 15},
                                            {Kind::cancelled, 1},
                                            {Kind::departed, 2},
                                            {Kind::stop, 2},
                                            {Kind::cancelled, 3, 9}}));
  EXPECT_TRUE(recorded(std::vector<Event>{Tick{}}).empty());
}

/// Gradients of zeros.
struct Zeros final : ReplayedGradients {
  void begin(int worker, std::int64_t batch, const VersionRef& weights) override {
    begun.push_back({worker, batch, weights.version()});
  }
  Gradient take(int worker) override {
    taken.push_back(worker);
    return {{.rows = 1}, std::span<const float>(zeros)};
  }
  void give_up(int worker) override { given_up.push_back(worker); }

  std::vector<float> zeros;
  std::vector<std::array<std::int64_t, 3>> begun;  // worker, batch, version
  std::vector<int> taken, given_up;
};

class ReplayedMaster : public testing::Test {
 protected:
  bool take(const RecordedCall& call) { return replay(call, master_, workers_, observer_, 0); }
  void SetUp() override {
    zeros_.zeros.resize(model_.history.layout().state());
    begin_replay(master_, workers_, observer_, 0);
  }

  Model model_{kModel, sgd(0.5), 2};
  MasterState master_{model_.updater, model_.history, {.workers = 2, .schedule = {.total_updates = 4}}};
  Zeros zeros_;
  IgnoreEvents observer_;
  ReplayedWorkers workers_{2, false, zeros_};
};

TEST_F(ReplayedMaster, ComputesLeasesInTheOrderOfTheirWorkers) {
  EXPECT_TRUE(take({{Kind::gradient, 1}}));
  EXPECT_TRUE(take({{Kind::gradient, 1}}));
  EXPECT_TRUE(take({{Kind::gradient, 0}}));
  EXPECT_TRUE(take({{Kind::gradient, 0}}));
  EXPECT_EQ(master_.version(), 4);
  EXPECT_EQ(zeros_.begun, (std::vector<std::array<std::int64_t, 3>>{{0, 0, 0}, {1, 1, 0}, {1, 3, 1}, {0, 2, 3}}));
  EXPECT_EQ(zeros_.taken, (std::vector{1, 1, 0, 0}));
  EXPECT_FALSE(take({{Kind::gradient, 1}})) << "all updates are made";
  EXPECT_EQ(zeros_.taken.size(), 4U);
}

TEST_F(ReplayedMaster, EndsWithTheSignalOfAGradient) {
  EXPECT_TRUE(take({{Kind::gradient, 0}}));
  EXPECT_TRUE(take({{Kind::gradient, 1, 15}}));
  EXPECT_EQ(master_.ending().why, Ending::Why::interrupted);
  EXPECT_EQ(master_.ending().signal, 15);
  EXPECT_EQ(master_.version(), 2) << "its gradient is applied";
  EXPECT_FALSE(take({{Kind::gradient, 0}}));
}

TEST_F(ReplayedMaster, RefusesWhatCannotHaveHappened) {
  const auto refuses = [&](const RecordedCall& call, const std::string& words) {
    return support::throws<InputError>({"replay: ", words}, [&] { take(call); });
  };
  EXPECT_TRUE(refuses({{Kind::gradient, 2}}, "a gradient of worker 2, there are 2"));
  EXPECT_TRUE(refuses({{Kind::departed, -1}}, "departure of worker -1, there are 2"));
  EXPECT_TRUE(refuses({{Kind::start, 2}}, "2 workers join a run that has begun"));
  EXPECT_TRUE(take({{Kind::departed, 1}}));
  EXPECT_EQ(zeros_.given_up, (std::vector{1})) << "the one that it had begun";
  EXPECT_TRUE(refuses({{Kind::gradient, 1}}, "a gradient of worker 1, which waits for a reply"));
}

}  // namespace
}  // namespace apam::exchange::test
