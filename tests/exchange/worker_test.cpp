// A worker against a transport that keeps what it is given.
#include "apam/exchange/worker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "apam/exchange/error.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

const QuadraticOptions kModel{.sizes = {33, 5, 70}, .channels = 3, .rows = 6, .spread = 1.5F};

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

}  // namespace
}  // namespace apam::exchange::test
