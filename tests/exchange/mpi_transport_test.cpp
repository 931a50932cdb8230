// The two sides of the MPI transport, called directly: what moves while neither side waits for it.
#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <thread>

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/weight_history.h"
#include "kernels/runtime/dtype.h"
#include "tests/exchange/mpi_world.h"

namespace apam::exchange::test {
namespace {

// Messages of 160 KiB and more, which MPI sends by rendezvous: they move only inside its calls on both sides.
constexpr std::size_t kWeights = 1 << 18, kStatistics = 1 << 16, kState = kWeights + kStatistics;
const mpi::MessageSizes kSizes{.contribution = kState, .weights = kWeights, .part = 100'000};
const mpi::MessageSizes kRounded{kSizes.contribution, kSizes.weights, kSizes.part, mpi::Wire::bfloat16};

/// Of the test: nothing here takes this long.
constexpr auto kLong = std::chrono::seconds(60);

template <class Condition>
void wait_until(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kLong;
  while (!condition()) {
    require<ExchangeError>(std::chrono::steady_clock::now() < end, "test: waited for {} s", kLong.count());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::vector<float> numbers(std::size_t size, float first) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), first);
  return values;
}

/// A master with version 0 of the weights: 0, 1, 2 ...
struct Master {
  explicit Master(const mpi::MessageSizes& sizes = kSizes)
      : history(Device{}, {kWeights, kStatistics, 1, HistoryLayout::slots_for(workers(), 0)}) {
    std::vector<float> state = numbers(kState, 0);
    history.publish_first(std::span<float>(state));
    transport = mpi::make_master_transport({world(), sizes, sends()});
  }

  /// The next version: `first`, `first` + 1 ...
  void publish(float first) {
    WritableVersion next = history.begin_next(1);
    std::ranges::copy(numbers(kState, first), next.state().host().begin());
    history.publish(std::move(next));
  }

  void send_to_all() const {
    for (int worker = 0; worker < workers(); ++worker) transport->send(worker, {}, history.current());
  }
  void stop_all() const {
    for (int worker = 0; worker < workers(); ++worker) transport->send(worker, {.verdict = Verdict::stop}, {});
    transport->finish();
  }
  /// One of each worker.
  std::vector<GradientMessage> gradients() const {
    std::vector<GradientMessage> all;
    wait_until([&] {
      for (const GradientMessage& one : transport->poll({})) all.push_back(one);
      return all.size() >= static_cast<std::size_t>(workers());
    });
    return all;
  }
  void wait_for_bytes(std::size_t floats_of_each) const {
    const auto bytes = static_cast<std::int64_t>(floats_of_each * sizeof(float)) * workers();
    wait_until([&] { return transport->copied_bytes() >= bytes; });
    EXPECT_EQ(transport->copied_bytes(), bytes);
  }

  WeightHistory history;
  std::unique_ptr<MasterTransport> transport;
};

struct Worker {
  explicit Worker(const mpi::MessageSizes& sizes = kSizes, std::size_t kept = 0)
      : second(kept),
        transport(mpi::make_worker_transport({world(), sizes, sends()}, std::span<float>(weights), std::span<float>(second))) {}

  std::vector<float> weights = std::vector<float>(kWeights), second;
  std::unique_ptr<WorkerTransport> transport;
};

GradientHeader header() { return {.batch = world().rank(), .rows = 1}; }

void expect_gradient(const GradientMessage& message, float first) {
  EXPECT_EQ(message.header.batch, message.worker + 1);
  EXPECT_TRUE(std::ranges::equal(message.values.host(), numbers(kState, first)));
}

// The master never calls its transport between the first weights and the last contribution, as during an update.
TEST(MpiTransport, MovesMessagesWhileTheMasterIsBusy) {
  if (world().rank() == 0) {
    Master master;
    master.send_to_all();
    master.wait_for_bytes(kWeights + kState);
    for (const GradientMessage& message : master.gradients()) expect_gradient(message, 5);
    master.stop_all();
  } else {
    Worker worker;
    EXPECT_TRUE(std::ranges::equal(worker.transport->pull().weights.host(), numbers(kWeights, 0)));
    const auto values = numbers(kState, 5);
    worker.transport->push(header(), std::span(values));
    EXPECT_EQ(worker.transport->pull().reply.verdict, Verdict::stop);
  }
}

// The worker computes until the master has what it has offered. Floats from 60,000 on are complete: the parts that begin at
// 162,144 and at 62,144.
TEST(MpiTransport, MovesCompleteGradientsWhileTheWorkerComputes) {
  if (world().rank() == 0) {
    Master master;
    master.send_to_all();
    master.wait_for_bytes(kWeights + 2 * kSizes.part);
    for (int worker = 0; worker < workers(); ++worker) master.transport->cancel(worker, 0);
    // The rest came without values, and what had arrived is not a gradient.
    for (const GradientMessage& message : master.gradients()) {
      EXPECT_EQ(message.header.cancelled, 1);
      EXPECT_TRUE(message.values.empty());
    }
    EXPECT_EQ(master.transport->copied_bytes(),
              static_cast<std::int64_t>((kWeights + 2 * kSizes.part) * sizeof(float)) * workers());
    // The next gradient is whole again.
    master.send_to_all();
    for (const GradientMessage& message : master.gradients()) expect_gradient(message, 7);
    master.stop_all();
  } else {
    Worker worker;
    const Delivery first = worker.transport->pull();
    auto values = numbers(kState, 5);
    worker.transport->offer(std::span(values), kWeights);
    worker.transport->offer(std::span(values), 60'000);
    wait_until([&] { return worker.transport->cancelled(first.reply.version); });
    worker.transport->offer(std::span(values), 0);
    GradientHeader given_up = header();
    given_up.cancelled = 1;
    worker.transport->push(given_up, {});
    EXPECT_EQ(worker.transport->pull().reply.verdict, Verdict::proceed);
    values = numbers(kState, 7);
    worker.transport->offer(std::span(values), 0);
    worker.transport->push(header(), std::span(values));
    EXPECT_EQ(worker.transport->pull().reply.verdict, Verdict::stop);
  }
}

// Of a gradient that is computed ahead, complete parts leave between the reply to the one before and push(). The weights of a
// delivery stay while the next arrive. What was offered before a stop never leaves, or the transport would wait for its
// receiver.
TEST(MpiTransport, HoldsTheNextGradientUntilTheReplyAndKeepsTheWeights) {
  constexpr std::int64_t kArrived = 1234;  // no version: a message from the master to the test
  if (world().rank() == 0) {
    Master master;
    master.send_to_all();
    for (const GradientMessage& message : master.gradients()) expect_gradient(message, 5);
    master.wait_for_bytes(kWeights + kState);
    master.publish(100);
    master.send_to_all();
    master.wait_for_bytes(2 * kWeights + kState + kWeights);
    for (int worker = 0; worker < workers(); ++worker) master.transport->cancel(worker, kArrived);
    for (const GradientMessage& message : master.gradients()) expect_gradient(message, 7);
    master.stop_all();
  } else {
    Worker worker(kSizes, kWeights);
    EXPECT_TRUE(worker.transport->keeps_weights());
    const auto one = numbers(kState, 5), other = numbers(kState, 7);
    const Delivery first = worker.transport->pull();
    worker.transport->push(header(), std::span(one));
    worker.transport->offer(std::span(other), 60'000);
    worker.transport->offer(std::span(other), 0);
    const Delivery second = worker.transport->pull();
    EXPECT_TRUE(std::ranges::equal(first.weights.host(), numbers(kWeights, 0)));
    EXPECT_TRUE(std::ranges::equal(second.weights.host(), numbers(kWeights, 100)));
    wait_until([&] { return worker.transport->cancelled(kArrived); });
    worker.transport->push(header(), std::span(other));
    worker.transport->offer(std::span(one), 0);
    EXPECT_EQ(worker.transport->pull().reply.verdict, Verdict::stop);
  }
}

/// The first `size` of them rounded to bfloat16.
std::vector<float> rounded(std::vector<float> values, std::size_t size) {
  for (float& value : std::span(values).first(size)) value = BFloat16(value);
  return values;
}

TEST(MpiTransport, RoundsGradientsAndWeightsButNotStatistics) {
  if (world().rank() == 0) {
    Master master(kRounded);
    for (const float first : {5.0F, 7.0F}) {
      master.send_to_all();
      for (const GradientMessage& message : master.gradients()) {
        EXPECT_TRUE(std::ranges::equal(message.values.host(), rounded(numbers(kState, first), kWeights)));
      }
      master.publish(100'000);
    }
    const std::size_t floats = 2 * (kWeights / 2 + kWeights / 2 + kStatistics);
    EXPECT_EQ(master.transport->copied_bytes(), static_cast<std::int64_t>(floats * sizeof(float)) * workers());
    master.stop_all();
  } else {
    Worker worker(kRounded, kWeights);
    std::vector<float> values;  // stays until the next delivery
    std::optional<Delivery> before;
    for (const auto& [weight, gradient] : {std::pair{0.0F, 5.0F}, std::pair{100'000.0F, 7.0F}}) {
      const Delivery delivery = worker.transport->pull();
      if (before) {
        EXPECT_TRUE(std::ranges::equal(before->weights.host(), rounded(numbers(kWeights, 0), kWeights)));
      }
      before = delivery;
      EXPECT_TRUE(std::ranges::equal(delivery.weights.host(), rounded(numbers(kWeights, weight), kWeights)));
      values = numbers(kState, gradient);
      worker.transport->push(header(), std::span(values));
    }
    EXPECT_EQ(worker.transport->pull().reply.verdict, Verdict::stop);
  }
}

}  // namespace
}  // namespace apam::exchange::test
