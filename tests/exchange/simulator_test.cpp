// The simulator: queueing laws, the published speed-ups, and modes against each other.
#include "apam/exchange/drivers/simulator.h"

#include <gtest/gtest.h>

#include "kernels/runtime/error.h"

namespace apam::exchange::test {
namespace {

using Distribution = ComputeTime::Distribution;

/// T1 = 1 s, of which the master needs S = 0.1 s: receive 0.025, update 0.05, send 0.025.
SimulationOptions published(int workers) {
  return {.mode = SimulatedMode::serial,
          .workers = workers,
          .updates = 4000,
          .compute = {Distribution::lognormal, 0.9, 0.5},
          .link = {.bytes_per_second = 40},
          .gradient_bytes = 1,
          .weight_bytes = 1,
          .first_update = 0.05,
          .further_update = 0.01};
}

double speedup(const SimulationOptions& options) {
  SimulationOptions alone = options;
  alone.workers = 1;
  return simulate(options).updates_per_second / simulate(alone).updates_per_second;
}

TEST(Simulator, OneWorkerTakesTheSumOfItsParts) {
  SimulationOptions options = published(1);
  options.compute = {Distribution::constant, 0.9, 0};
  options.link.latency = 0.001;
  options.updates = 100;
  const SimulationResult result = simulate(options);
  // Every cycle has both latencies; the last update ends before its reply is sent.
  EXPECT_NEAR(result.seconds, 100 * (0.9 + 0.1 + 0.002), 1e-9);
  EXPECT_EQ(result.staleness_max, 0);
  EXPECT_EQ(result.updates, 100);
}

/// Updates per second of N workers that compute for `compute` seconds on average and then queue for a server of exponential
/// times of mean `service`: mean value analysis (Reiser and Lavenberg, 1980). Exact for any distribution of the compute times.
double closed_network(int workers, double compute, double service) {
  double queue = 0, rate = 0;  // of one worker less
  for (int n = 1; n <= workers; ++n) {
    const double response = service * (1 + queue);
    rate = n / (compute + response);
    queue = rate * response;
  }
  return rate;
}

void expect_published(double five, double ten, double twenty) {
  EXPECT_GE(five, 4.6);
  EXPECT_LE(five, 4.9);
  EXPECT_GE(ten, 7.4);
  EXPECT_LE(ten, 9.5);
  EXPECT_GE(twenty, 9.8);
  EXPECT_LE(twenty, 11.4);
}

// WRN-28-5 / ImageNet32 on CPUs: 24.48 h with 1 worker, {5.31, 3.27, 2.20} with 5, 10, 20. ResNet18 / CINIC-10: 1.79 h, {0.39,
// 0.25, 0.17}; its 7.2 with 10 workers is below the range.
TEST(Simulator, ReproducesThePublishedCurve) {
  expect_published(speedup(published(5)), speedup(published(10)), speedup(published(20)));
  expect_published(closed_network(5, 0.9, 0.1), closed_network(10, 0.9, 0.1), closed_network(20, 0.9, 0.1));
}

// Queueing bounds the serial master, which is a server in a closed network: above by N / T1 and 1 / S, below by a server whose
// times vary as much as exponential ones do.
TEST(Simulator, SerialThroughputIsBetweenTheBounds) {
  for (const auto distribution : {Distribution::constant, Distribution::uniform, Distribution::lognormal}) {
    for (const int workers : {1, 2, 5, 10, 20, 64}) {
      SimulationOptions options = published(workers);
      options.compute = {distribution, 0.9, distribution == Distribution::constant ? 0.0 : 0.5};
      const double rate = simulate(options).updates_per_second, bound = std::min(workers / 1.0, 1 / 0.1);
      // Sampling: the mean of 4000 times of relative deviation 0.53 is within 4 %, 4 deviations of 0.53 / sqrt(4000).
      EXPECT_LE(rate, bound * 1.04) << workers;
      EXPECT_GE(rate, closed_network(workers, 0.9, 0.1) * 0.96) << workers;
      if (distribution == Distribution::constant) {
        EXPECT_LE(rate, bound * (1 + 1e-9)) << workers;
        EXPECT_GE(rate, bound * 0.98) << workers;
      }
    }
  }
}

// Saturated: a pipelined master is as fast as the slowest of receive, update and send; gradients that wait are made together.
TEST(Simulator, PipelinedAndSharedSaturateLater) {
  SimulationOptions options = published(64);
  const double serial = simulate(options).updates_per_second;
  options.mode = SimulatedMode::pipelined;
  const SimulationResult pipelined = simulate(options);
  options.mode = SimulatedMode::shared;
  const SimulationResult shared = simulate(options);
  EXPECT_NEAR(serial, 1 / 0.1, 0.2);
  EXPECT_NEAR(pipelined.updates_per_second, 1 / 0.025, 1);
  EXPECT_GT(pipelined.together, 1.5);
  EXPECT_GT(shared.updates_per_second, 1.3 * pipelined.updates_per_second);
  EXPECT_LE(shared.updates_per_second, 8 / (0.05 + 7 * 0.01) * 1.01);
}

// One worker: its cycle is computation, receive, update and reply. Many: the master is busy with eight at a time.
TEST(Simulator, TheMastersThreadReceivesAndReplies) {
  SimulationOptions options{.mode = SimulatedMode::shared, .updates = 800, .compute = {.mean = 1}};
  options.first_update = 0.05;
  options.further_update = 0.01;
  options.receive = 0.02;
  options.reply = 0.03;
  EXPECT_NEAR(simulate(options).updates_per_second, 1 / (1 + 0.02 + 0.05 + 0.03), 2e-3);
  options.workers = 100;
  const double saturated = 8 / (8 * (0.02 + 0.03) + 0.05 + 7 * 0.01);
  EXPECT_NEAR(simulate(options).updates_per_second, saturated, 0.05 * saturated);
  options.receive = -1;
  EXPECT_THROW(simulate(options), InputError);
}

/// One host: per update the master computes 0.05 s and receives 0.02 s, a worker fetches its weights in 0.03 s.
SimulationOptions on_one_host(int workers, int cores) {
  return {.mode = SimulatedMode::pipelined,
          .workers = workers,
          .updates = 1000,
          .compute = {Distribution::lognormal, 0.9, 0.5},
          .link = {.bytes_per_second = 50},
          .gradient_bytes = 1,
          .first_update = 0.05,
          .further_update = 0.05,
          .worker_receive = 0.03,
          .cores = cores};
}

TEST(Simulator, EnoughCoresChangeNothing) {
  for (const auto mode : {SimulatedMode::serial, SimulatedMode::pipelined, SimulatedMode::shared}) {
    for (const int workers : {1, 7, 30}) {
      SimulationOptions options = on_one_host(workers, 0);
      options.mode = mode;
      options.reply = 0.001;
      const SimulationResult unlimited = simulate(options);
      options.cores = workers + 3;  // master, two links, workers
      const SimulationResult enough = simulate(options);
      EXPECT_EQ(enough.seconds, unlimited.seconds) << workers;
      EXPECT_EQ(enough.busy, unlimited.busy) << workers;
      EXPECT_EQ(enough.staleness_mean, unlimited.staleness_mean) << workers;
    }
  }
}

// The work of an update: 0.02 + 0.05 + 0.03 s.
TEST(Simulator, CoresBoundTheThroughput) {
  for (const int cores : {1, 2, 3}) {
    double before = 0;
    for (const int workers : {1, 4, 16, 64}) {
      SimulationOptions options = on_one_host(workers, cores);
      const double rate = simulate(options).updates_per_second;
      EXPECT_LE(rate, cores / 0.1 * (1 + 1e-9)) << cores << " cores, " << workers << " workers";
      EXPECT_GE(rate, 0.97 * before) << cores << " cores, " << workers << " workers";
      options.cores = cores + 1;
      EXPECT_LE(rate, 1.03 * simulate(options).updates_per_second) << cores << " cores, " << workers << " workers";
      before = rate;
    }
    if (cores == 1) {
      EXPECT_GE(before, 0.95 / 0.1) << "the core is always busy";
    }
  }
}

// Two workers at once on one core: their fetches take twice as long, their computations do not.
TEST(Simulator, JobsShareACoreEvenly) {
  SimulationOptions options{
      .mode = SimulatedMode::pipelined, .workers = 2, .updates = 2, .compute = {.mean = 1}, .worker_receive = 0.25, .cores = 1};
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 2 * 0.25 + 1);
  options.cores = 2;
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 0.25 + 1);
  options.worker_receive = 0;
  options.first_update = options.further_update = 0.5;
  options.gradient_bytes = 1;
  options.link.bytes_per_second = 4;
  options.cores = 1;
  // The first arrives after 1.25 s. Its pass of 0.5 s and the transfer of the second, 0.25 s, share the core: the transfer ends
  // 0.5 s later, when the pass has 0.25 s left. The second pass follows.
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 1.25 + 0.5 + 0.25 + 0.5);
}

// A serial master waits busily: on one core a worker's fetch takes twice as long as on two.
TEST(Simulator, ASerialMasterKeepsACore) {
  SimulationOptions options{
      .mode = SimulatedMode::serial, .workers = 1, .updates = 1, .compute = {.mean = 1}, .worker_receive = 0.25, .cores = 1};
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 2 * 0.25 + 1);
  options.cores = 2;
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 0.25 + 1);
  options.cores = 1;
  options.mode = SimulatedMode::shared;
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 0.25 + 1);
}

TEST(Simulator, HalfDuplexExcludesDirections) {
  SimulationOptions options = published(64);
  options.mode = SimulatedMode::pipelined;
  options.first_update = options.further_update = 1e-3;
  const double full = simulate(options).updates_per_second;
  options.link.half_duplex = true;
  const SimulationResult half = simulate(options);
  EXPECT_NEAR(full, 1 / 0.025, 0.05 / 0.025);
  EXPECT_LE(half.updates_per_second, 1 / 0.05 * (1 + 1e-9));
  EXPECT_GE(half.updates_per_second, 0.95 / 0.05);
}

// Saturated: M masters make a pass in 1/M of its time, and carry a message in 1/M of its time. The first gradient arrives after
// 1 s, the last ones may wait for one more cycle.
TEST(Simulator, MastersShareAPassAndItsMessages) {
  for (const int masters : {1, 2, 4}) {
    SimulationOptions options = published(400);
    options.compute = {Distribution::constant, 0.9, 0};
    options.masters = masters;
    options.mode = SimulatedMode::shared;
    options.further_update = 0.05;
    const double updates = 4000 * 0.05 / masters;
    EXPECT_GE(simulate(options).seconds, updates * (1 - 1e-9)) << masters;
    EXPECT_LE(simulate(options).seconds, updates + 2) << masters;
    options.mode = SimulatedMode::pipelined;
    options.first_update = options.further_update = 1e-4;
    const double messages = 4000 * 0.025 / masters;
    EXPECT_GE(simulate(options).seconds, messages * (1 - 1e-9)) << masters;
    EXPECT_LE(simulate(options).seconds, messages + 2) << masters;
  }
}

// Two masters on one core take as long as one, and only the first replies.
TEST(Simulator, MastersNeedCoresAndTheFirstReplies) {
  SimulationOptions options{.mode = SimulatedMode::shared, .workers = 1, .updates = 2, .compute = {.mean = 1}};
  options.first_update = 0.5;
  options.receive = 0.25;
  options.reply = 0.125;
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 2 * (0.125 + 1 + 0.75));
  options.masters = 2;
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 2 * (0.125 + 1 + 0.375));
  options.cores = 1;
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 2 * (0.125 + 1 + 0.75));
  options.cores = 2;
  EXPECT_DOUBLE_EQ(simulate(options).seconds, 2 * (0.125 + 1 + 0.375));
}

TEST(Simulator, MastersAreAsOneThatIsFaster) {
  for (const auto mode : {SimulatedMode::pipelined, SimulatedMode::shared}) {
    SimulationOptions options = published(30);
    options.mode = mode;
    options.masters = 2;
    const SimulationResult two = simulate(options);
    options.masters = 1;
    options.first_update /= 2;
    options.further_update /= 2;
    options.link.bytes_per_second *= 2;
    const SimulationResult one = simulate(options);
    EXPECT_NEAR(two.seconds, one.seconds, 1e-9 * one.seconds);
    EXPECT_EQ(two.staleness_mean, one.staleness_mean);
    EXPECT_EQ(two.together, one.together);
  }
}

TEST(Simulator, StalenessIsOnAverageWorkersMinusOne) {
  const SimulationResult result = simulate(published(10));  // passes of one gradient
  EXPECT_NEAR(result.staleness_mean, 9, 9.0 * 10 / 4000 + 1e-9);
  EXPECT_EQ(result.leases.granted, result.leases.applied);
}

TEST(Simulator, AStragglerIsLeftBehindOnlyWithoutABarrier) {
  SimulationOptions options = published(8);
  options.first_update = options.further_update = 0.001;
  options.compute.distribution = Distribution::constant;
  options.mode = SimulatedMode::shared;
  const double even = simulate(options).updates_per_second;
  options.slowdown = {5};
  EXPECT_GT(simulate(options).updates_per_second, 0.87 * even) << "7.2 of 8 workers";
  options.mode = SimulatedMode::sync;
  const double sync = simulate(options).updates_per_second;
  options.slowdown = {};
  EXPECT_LT(sync, 0.25 * simulate(options).updates_per_second) << "all wait for it";
  options.mode = SimulatedMode::k_of_n;
  options.first_of = 7;
  options.slowdown = {5};
  const SimulationResult without_it = simulate(options);
  EXPECT_GT(without_it.updates_per_second, 3 * sync);
  EXPECT_EQ(without_it.dropped, options.updates);
}

TEST(Simulator, DeathsReturnLeases) {
  SimulationOptions options = published(4);
  options.updates = 200;
  options.deaths = {{1, 10.2}, {3, 30}};
  const SimulationResult result = simulate(options);
  EXPECT_EQ(result.updates, 200);
  EXPECT_EQ(result.leases.abandoned, 4) << "two leases each";
  EXPECT_EQ(result.leases.granted, 204);
  options.deaths = {{0, 1}, {1, 2}, {2, 3}, {3, 4}};
  EXPECT_LT(simulate(options).updates, 200);
}

TEST(Simulator, PoliciesActInIt) {
  SimulationOptions options = published(20);
  options.updates = 500;
  options.policy = {.name = "bound", .bound = 10};
  const SimulationResult bounded = simulate(options);
  EXPECT_LE(bounded.staleness_max, 10);
  EXPECT_GT(bounded.leases.refused, 0);
  options.policy = {.name = "ringmaster", .bound = 11};
  const SimulationResult ringmaster = simulate(options);
  EXPECT_LE(ringmaster.staleness_max, 10);
  EXPECT_GT(ringmaster.leases.cancelled, 0);
  EXPECT_EQ(ringmaster.leases.granted, ringmaster.leases.ended());
}

TEST(Simulator, IsDeterministic) {
  const SimulationResult a = simulate(published(7)), b = simulate(published(7));
  EXPECT_EQ(a.seconds, b.seconds);
  SimulationOptions other = published(7);
  other.seed = 1;
  EXPECT_NE(simulate(other).seconds, a.seconds);
}

TEST(Simulator, OptionsAreChecked) {
  SimulationOptions options;
  options.workers = 0;
  EXPECT_THROW(simulate(options), InputError);
  options = {.compute = {.mean = 0}};
  EXPECT_THROW(simulate(options), InputError);
  options = {.mode = SimulatedMode::k_of_n, .workers = 2, .first_of = 3};
  EXPECT_THROW(simulate(options), InputError);
  options = {.deaths = {{1, 0}}};
  EXPECT_THROW(simulate(options), InputError);
  options = {.worker_receive = -1};
  EXPECT_THROW(simulate(options), InputError);
  options = {.cores = -1};
  EXPECT_THROW(simulate(options), InputError);
  options = {.mode = SimulatedMode::sync, .cores = 2};
  EXPECT_THROW(simulate(options), InputError);
  for (const auto mode : {SimulatedMode::serial, SimulatedMode::sync}) {
    options = {.mode = mode, .masters = 2};
    EXPECT_THROW(simulate(options), InputError);
  }
  options = {.mode = SimulatedMode::shared, .masters = 0};
  EXPECT_THROW(simulate(options), InputError);
}

}  // namespace
}  // namespace apam::exchange::test
