// The master as one loop over blocking MPI calls. The workers, of which there may be many more than cores, sleep while they
// wait, so that the master is measured and not the processor time that they would take from it.
#include <mpi.h>

#include <thread>

#include "apam/exchange/backoff.h"
#include "apam/exchange/staleness.h"
#include "bench/exchange/run.h"
#include "kernels/runtime/buffer.h"

namespace apam::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kGradient = 1, kWeights = 2, kStop = 3;

ExchangeResult run_master(int workers, const ExchangeSettings& settings) {
  Exec exec({.threads = settings.master_threads});
  const engine::ParameterArena arena({}, flat_layout(settings.parameters));
  arena.initialize(1);
  engine::Updater updater(exec, arena, {});
  updater.choose_kernels();
  exchange::Staleness staleness(workers);
  std::vector<std::int64_t> given(static_cast<std::size_t>(workers));
  const auto count = static_cast<int>(arena.weights().size());
  const auto send = [&](int worker, int tag) {
    MPI_Send(arena.weights().data(), tag == kStop ? 0 : count, MPI_FLOAT, worker + 1, tag, MPI_COMM_WORLD);
    given[static_cast<std::size_t>(worker)] = updater.version();
  };
  ExchangeResult result{.transport = "blocking MPI"};
  const auto begin = Clock::now();
  for (int worker = 0; worker < workers; ++worker) send(worker, kWeights);
  for (std::int64_t update = 0; update < settings.updates; ++update) {
    const auto idle = Clock::now();
    MPI_Status status;
    MPI_Probe(MPI_ANY_SOURCE, kGradient, MPI_COMM_WORLD, &status);
    const auto arrived = Clock::now();
    MPI_Recv(arena.outgoing().data(), count, MPI_FLOAT, status.MPI_SOURCE, kGradient, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    const auto received = Clock::now();
    const int worker = status.MPI_SOURCE - 1;
    staleness.record(worker, updater.version() - given[static_cast<std::size_t>(worker)]);
    updater.apply(arena.outgoing());
    const auto updated = Clock::now();
    send(worker, kWeights);
    const auto replied = Clock::now();
    result.parts.wait += seconds_between(idle, arrived);
    result.parts.receive += seconds_between(arrived, received);
    result.parts.update += seconds_between(received, updated);
    result.parts.reply += seconds_between(updated, replied);
    result.copied_bytes += 2 * static_cast<std::int64_t>(arena.weights().size_bytes());
  }
  result.seconds = seconds_between(begin, Clock::now());
  result.passes[0] = settings.updates;
  result.mean_staleness = staleness.mean();
  result.max_staleness = staleness.max();
  for (int left = workers; left > 0; --left) {
    MPI_Status status;
    MPI_Recv(arena.outgoing().data(), count, MPI_FLOAT, MPI_ANY_SOURCE, kGradient, MPI_COMM_WORLD, &status);
    send(status.MPI_SOURCE - 1, kStop);
  }
  return result;
}

MPI_Status wait(MPI_Request request) {
  exchange::Backoff backoff;
  MPI_Status status;
  for (int done = 0; MPI_Test(&request, &done, &status), done == 0;) backoff.pause(exchange::Backoff::Waiting::transfer);
  return status;
}

void run_worker(int worker, const ExchangeSettings& settings) {
  const engine::ParameterArena arena({}, flat_layout(settings.parameters));
  fill_gradient(worker, arena.gradients());
  const auto count = static_cast<int>(arena.weights().size());
  const auto compute =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(settings.compute_ms));
  while (true) {
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Irecv(arena.weights().data(), count, MPI_FLOAT, 0, MPI_ANY_TAG, MPI_COMM_WORLD, &request);
    if (wait(request).MPI_TAG == kStop) return;
    std::this_thread::sleep_until(Clock::now() + compute);
    MPI_Isend(arena.gradients().data(), count, MPI_FLOAT, 0, kGradient, MPI_COMM_WORLD, &request);
    wait(request);
  }
}

}  // namespace

ExchangeResult run_serial(const exchange::mpi::Environment& environment, const ExchangeSettings& settings) {
  if (environment.rank() == 0) return run_master(environment.ranks() - 1, settings);
  run_worker(environment.rank() - 1, settings);
  return {};
}

}  // namespace apam::bench
