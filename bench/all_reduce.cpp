// Times the all-reduce of synchronous training through shared memory and by MPI, in alternation.
//
//   mpiexec.mpich -n 2 build/bench/all_reduce --floats 11173962 --rounds 20
//
// Every round sums one contribution by each, in buckets as training does, with all ranks started together. The time is that of
// the slowest rank, until it can read all sums: MPI's in its own memory, the other ones in the memory that all ranks share.
// Both must give the same sums.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/all_reduce.h"
#include "apam/exchange/shared/ranks.h"
#include "apam/exchange/synchronous.h"
#include "apam/training/version.h"
#include "bench/exchange/program.h"
#include "kernels/median.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/buffer.h"
#include "kernels/tuning_cache.h"

namespace {

using namespace apam;
using exchange::AllReduce;
using exchange::mpi::Environment;
using Clock = std::chrono::steady_clock;

struct Options {
  std::int64_t floats = 11'173'962;
  int rounds = 10;
  std::string json;
};

/// Rank + 1 everywhere: the sum over N ranks is N (N + 1) / 2, exactly.
void fill(int rank, Span<float> values) { std::ranges::fill(values.host(), static_cast<float>(rank + 1)); }

/// Milliseconds of the slowest rank.
double time_once(AllReduce& all_reduce, Span<float> values) {
  fill(all_reduce.rank(), values);
  all_reduce.gather(0);
  const auto begin = Clock::now();
  constexpr std::size_t kBucket = exchange::SynchronousTrainer::kBucketFloats;
  for (std::size_t from = 0; from < values.size(); from += kBucket) {
    all_reduce.start(values.subspan(from, std::min(kBucket, values.size() - from)));
    all_reduce.progress();
  }
  all_reduce.finish();
  const auto nanoseconds = std::chrono::nanoseconds(Clock::now() - begin).count();
  const float expected = static_cast<float>(all_reduce.ranks() * (all_reduce.ranks() + 1)) / 2;
  for (const float value : all_reduce.sums(values).host()) {
    require<Error>(value == expected, "{}: a sum is {}, expected {}", all_reduce.name(), value, expected);
  }
  const auto all = all_reduce.gather(static_cast<std::uint64_t>(nanoseconds));
  return 1e-6 * static_cast<double>(*std::max_element(all.begin(), all.end()));
}

int run(const Environment& environment, const Options& options) {
  const auto floats = static_cast<std::size_t>(options.floats);
  const exchange::shared::GroupLayout layout{environment.ranks(), floats};
  const exchange::shared::SharedPeer peer = exchange::shared::share_memory(
      environment.rank(), layout, [&](std::string_view text) { return all_gather_strings(environment, text); });
  const auto shared = make_all_reduce(peer.group, environment.rank(), &peer.others);
  const auto messages = exchange::mpi::make_all_reduce(environment);
  const Buffer memory({}, floats * sizeof(float));
  std::vector<double> shared_ms, messages_ms, ratios;
  for (int round = 0; round <= options.rounds; ++round) {
    const double first = time_once(*shared, peer.group.contribution(environment.rank()));
    const double second = time_once(*messages, memory.as<float>());
    if (round == 0) continue;  // connections, first accesses
    shared_ms.push_back(first);
    messages_ms.push_back(second);
    ratios.push_back(second / first);
  }
  if (environment.rank() != 0) return 0;
  const auto least_and_largest = std::minmax_element(ratios.begin(), ratios.end());
  std::cout << fmt::format("{} ranks, {} floats: shared memory {:.2f} ms, MPI {:.2f} ms, ratio {:.2f} ({:.2f} to {:.2f})\n",
                           environment.ranks(), floats, kernels::median(shared_ms), kernels::median(messages_ms),
                           kernels::median(ratios), *least_and_largest.first, *least_and_largest.second);
  if (!options.json.empty()) {
    const nlohmann::ordered_json json = {{"ranks", environment.ranks()},
                                         {"floats", floats},
                                         {"cpu", kernels::cpu_model()},
                                         {"commit", training::kCommit},
                                         {"shared_ms", shared_ms},
                                         {"mpi_ms", messages_ms},
                                         {"ratios", ratios},
                                         {"ratio", kernels::median(ratios)}};
    write_file(options.json, json.dump(2) + "\n");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times the all-reduce of synchronous training", "all_reduce");
  app.add_option("--floats", options.floats, "Size of a contribution")->capture_default_str()->check(bench::number(1, 1e11));
  app.add_option("--rounds", options.rounds, "Rounds")->capture_default_str()->check(bench::number(1, 1e6));
  app.add_option("--json", options.json, "Also write the result to this file");
  return bench::run_ranks(app, argc, argv, [&](const Environment& environment) { return run(environment, options); });
}
