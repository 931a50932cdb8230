#include "bench/machine/machine.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "bench/machine/fma_loops.h"
#include "kernels/cpu/isa.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/parallel.h"

namespace apam::bench {
namespace {

/// Seconds of the fastest of `rounds` calls.
template <class Work>
double shortest(int rounds, Work work) {
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::min(best, elapsed.count());
  }
  return best;
}

}  // namespace

std::vector<FmaRate> fma_rates(int threads) {
  constexpr int kCalls = 80;
  constexpr std::int64_t kRounds = 1 << 20;  // about 2 ms, so that starting the threads is negligible
  std::vector<std::array<float, 16>> results(static_cast<std::size_t>(threads));
  std::vector<FmaRate> rates;
  const auto available = kernels::cpu::available_isas();
  const auto in_use = std::find(available.begin(), available.end(), &kernels::cpu::default_isa());
  const auto end = in_use == available.end()
                       ? in_use
                       : in_use + 1;  // sets with products of bfloat16 are not in the list and have the best one
  for (const FmaLoop& loop : fma_loops()) {
    if (std::none_of(available.begin(), end, [&](auto* isa) { return isa->name == loop.isa; })) continue;
    const double seconds = shortest(kCalls, [&] {
      parallel(threads, [&](int thread) { loop.run(kRounds, results[static_cast<std::size_t>(thread)].data()); });
    });
    rates.push_back({loop.isa, loop.flops * static_cast<double>(kRounds) * threads / seconds * 1e-9});
  }
  return rates;
}

double fma_peak(int threads) {
  double peak = 0;
  for (const FmaRate& rate : fma_rates(threads)) peak = std::max(peak, rate.gflops);
  return peak;
}

double copy_bandwidth(int threads) {
  constexpr std::int64_t kBytes = std::int64_t{256} << 20;
  constexpr int kRounds = 8;
  const Buffer from(Device{}, kBytes), to(Device{}, kBytes);
  std::memset(from.data(), 1, kBytes);                // unwritten pages would all map to one page of zeros
  const double seconds = shortest(kRounds + 1, [&] {  // the first round is the warm-up: it touches the pages of `to`
    parallel_for(threads, kBytes, 4096, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
    });
  });
  return 2.0 * kBytes / seconds * 1e-9;
}

}  // namespace apam::bench
