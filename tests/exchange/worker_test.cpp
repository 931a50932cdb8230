// A worker against a transport that keeps what it is given.
#include "apam/exchange/worker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <string>

#include "apam/exchange/error.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

class KeepingTransport final : public WorkerTransport {
 public:
  KeepingTransport(QuadraticSource& source, bool sends_early) : source_(source), sends_early_(sends_early) {}

  struct Offer {
    std::size_t from;
    std::vector<float> complete;  // the gradients from there on
  };

  bool sends_early() const override { return sends_early_; }
  void offer(ConstSpan<float> values, std::size_t from) override {
    EXPECT_EQ(values.data(), source_.arena().outgoing().data());
    const auto gradients = source_.arena().gradients();
    offers.push_back({from, test::values(ConstSpan<float>(gradients).subspan(from, gradients.size() - from))});
  }
  bool cancelled(std::int64_t computed_at) override { return computed_at == cancels; }
  void push(const GradientHeader& header, ConstSpan<float> values) override {
    headers.push_back(header);
    pushed = test::values(values);
  }
  Delivery pull() override {
    if (!headers.empty()) return {{.verdict = Verdict::stop, .version = 1}};
    return {{.lease_count = 1, .leases = {3}}, source_.arena().weights()};
  }

  std::int64_t cancels = -1;
  std::vector<Offer> offers;
  std::vector<GradientHeader> headers;
  std::vector<float> pushed;

 private:
  QuadraticSource& source_;
  bool sends_early_;
};

void run(QuadraticSource& source, KeepingTransport& transport) {
  NullControl control;
  Worker(source).run(transport, control);
}

// Backward goes from the last parameter to the first; each starts at a multiple of 16 floats.
TEST(Worker, OffersEachGradientOnceItIsComplete) {
  QuadraticSource source(kModel);
  KeepingTransport transport(source, true);
  run(source, transport);
  std::vector<std::size_t> from;
  for (const auto& offer : transport.offers) {
    from.push_back(offer.from);
    const auto gradients = std::span(transport.pushed).first(source.arena().gradients().size());
    EXPECT_TRUE(std::ranges::equal(offer.complete, gradients.subspan(offer.from))) << "it changed after the offer";
  }
  const auto& parameters = source.arena().layout().parameters();
  EXPECT_EQ(from, (std::vector<std::size_t>{parameters[2].offset, parameters[1].offset, 0}));
}

// The first parameter is computed first: what follows it must be complete too.
TEST(Worker, OffersNothingBeforeAGap) {
  QuadraticOptions options = kModel;
  options.first = 0;
  QuadraticSource source(options);
  KeepingTransport transport(source, true);
  run(source, transport);
  ASSERT_EQ(transport.offers.size(), 2U);
  EXPECT_EQ(transport.offers[0].from, source.arena().layout().parameters()[2].offset);
  EXPECT_EQ(transport.offers[1].from, 0U);
}

TEST(Worker, OffersNothingToATransportThatDoesNotSendEarly) {
  QuadraticSource source(kModel);
  KeepingTransport transport(source, false);
  run(source, transport);
  EXPECT_TRUE(transport.offers.empty());
  EXPECT_EQ(transport.headers.size(), 1U);
}

TEST(Worker, ACancelledGradientThatWasOfferedIsPushedWithoutValues) {
  QuadraticSource source(kModel);
  KeepingTransport transport(source, true);
  transport.cancels = 0;
  run(source, transport);
  EXPECT_EQ(transport.offers.size(), 3U);
  ASSERT_EQ(transport.headers.size(), 1U);
  EXPECT_EQ(transport.headers[0].cancelled, 1);
  EXPECT_EQ(transport.headers[0].batch, 3);
  EXPECT_TRUE(transport.pushed.empty());
}

TEST(Worker, LeavesNoCallbackWithItsSource) {
  QuadraticSource source(kModel);
  {
    KeepingTransport transport(source, true);
    run(source, transport);
  }
  source.compute({4});  // would call a transport that is gone
  EXPECT_EQ(source.computed(), (std::vector<std::int64_t>{3, 4}));
}

/// Replies with versions 10, 20, 30 ... in two places in turns, then with a stop. Records what happens, in order.
class AlternatingTransport final : public WorkerTransport {
 public:
  AlternatingTransport(const QuadraticSource& source, std::vector<std::vector<std::int64_t>> leases)
      : source_(source), leases_(leases.begin(), leases.end()), places_{make_second(kFlat), make_second(kFlat)} {}

  static inline const QuadraticOptions kFlat{.sizes = {33}};  // the gradient is the weights

  bool keeps_weights() const override { return true; }
  void push(const GradientHeader& header, ConstSpan<float> values) override {
    const auto expected = static_cast<float>(header.computed_at);
    EXPECT_EQ(values.host()[0], expected) << "the gradient on other weights than it says";
    note(fmt::format("push {} of version {}", header.batch, header.computed_at));
    pushed_ = values;
    copy_ = test::values(values);
  }
  Delivery pull() override {
    if (version_ > 0) {
      EXPECT_EQ(test::values(pushed_), copy_) << "it changed while it could be read";
    }
    version_ += 10;
    if (leases_.empty()) {
      note("stop");
      return {{.verdict = Verdict::stop, .version = version_}};
    }
    note(fmt::format("pull {}", version_));
    Reply reply{.lease_count = static_cast<std::int32_t>(leases_.front().size()), .version = version_};
    std::ranges::copy(leases_.front(), reply.leases.begin());
    leases_.pop_front();
    const auto weights = places_.at(static_cast<std::size_t>(version_ / 10 % 2)).weights();
    std::ranges::fill(weights.host(), static_cast<float>(version_));
    return {reply, weights};
  }

  std::vector<std::string> events;

 private:
  void note(std::string event) {
    const auto& computed = source_.computed();
    for (; noted_ < computed.size(); ++noted_) events.push_back(fmt::format("compute {}", computed[noted_]));
    events.push_back(std::move(event));
  }

  const QuadraticSource& source_;
  std::deque<std::vector<std::int64_t>> leases_;
  std::array<engine::ParameterArena, 2> places_;
  std::int64_t version_ = 0;
  ConstSpan<float> pushed_;
  std::vector<float> copy_;
  std::size_t noted_ = 0;
};

std::vector<std::string> events_of(const std::vector<std::vector<std::int64_t>>& leases, Between between) {
  const engine::ParameterArena second = make_second(AlternatingTransport::kFlat);
  QuadraticSource source(AlternatingTransport::kFlat);
  AlternatingTransport transport(source, leases);
  NullControl control;
  const bool ahead = between == Between::compute_ahead;
  const std::int64_t pushed = Worker(source, ahead ? second.outgoing() : Span<float>()).run(transport, control);
  EXPECT_EQ(pushed, std::ranges::count_if(transport.events, [](const auto& event) { return event.starts_with("push"); }));
  return transport.events;
}

using Events = std::vector<std::string>;

TEST(Worker, ComputesAheadWhileTheReplyTravels) {
  EXPECT_EQ(events_of({{0, 1, 2}, {3}, {4}}, Between::compute_ahead),
            (Events{"pull 10", "compute 0", "push 0 of version 10", "compute 1", "pull 20", "push 1 of version 10", "compute 2",
                    "pull 30", "push 2 of version 20", "compute 3", "stop"}));
  EXPECT_EQ(events_of({{0, 1, 2}, {3}}, Between::wait),
            (Events{"pull 10", "compute 0", "push 0 of version 10", "pull 20", "compute 1", "push 1 of version 20", "stop"}));
}

// Without a lease it waits for the reply, which may bring one that was dealt again.
TEST(Worker, ContinuesWithTheReplyAfterItHadNoLease) {
  EXPECT_EQ(events_of({{0, 1}, {}, {2, 3}}, Between::compute_ahead),
            (Events{"pull 10", "compute 0", "push 0 of version 10", "compute 1", "pull 20", "push 1 of version 10", "pull 30",
                    "compute 2", "push 2 of version 30", "compute 3", "stop"}));
}

TEST(Worker, ComputesAheadOnlyIfWeightsAreKept) {
  QuadraticSource source(kModel);
  KeepingTransport transport(source, false);
  const engine::ParameterArena second = make_second(kModel);
  NullControl control;
  EXPECT_THROW(Worker(source, second.outgoing()).run(transport, control), ExchangeError);
}

}  // namespace
}  // namespace apam::exchange::test
