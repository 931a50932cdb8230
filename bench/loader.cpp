// Times the preparation of training batches: reading, augmentation and normalisation, by the loader's threads. The loader must
// not be the bottleneck: compare with images_per_second of bench/step, times the number of workers.
//
//   bench/loader --data cifar10 --data-root DIR        the binary files
//   bench/loader --data cifar10 --data-root FILE.apam  the same images, packed
//
// Reports images_per_second, the median over rounds of about a second each. The first round, which may read from the disk, is
// not counted.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "apam/training/factories.h"
#include "bench/program.h"
#include "data/loader.h"
#include "kernels/median.h"
#include "kernels/runtime/atomic_file.h"

namespace {

using namespace apam;
using Clock = std::chrono::steady_clock;

struct Options {
  training::DataOptions data;
  std::int64_t batch = 100;
  int threads = 1, rounds = 5;
  double seconds = 1.0;  // per round
  std::string json;
};

/// Images per second of one round. `batch`: number of the next batch.
double measure(data::Loader& loader, double seconds, std::int64_t& batch) {
  const data::Batches& batches = loader.batches();
  const auto begin = Clock::now();
  std::int64_t images = 0;
  for (;;) {
    while (loader.pending() < 8) loader.submit(batches.whole(batch++));
    images += loader.next().count();
    const double passed = std::chrono::duration<double>(Clock::now() - begin).count();
    if (passed >= seconds) return static_cast<double>(images) / passed;
  }
}

int run(const Options& options) {
  const auto dataset = training::open_data(options.data, {});
  const auto batches = std::make_shared<const data::Batches>(dataset, data::BatchOptions{.batch = options.batch});
  data::Loader loader(batches, {.threads = options.threads});
  std::vector<double> rates;
  std::int64_t batch = 0;
  for (int round = 0; round <= options.rounds; ++round) {
    const double rate = measure(loader, options.seconds, batch);
    if (round > 0) rates.push_back(rate);
  }
  std::sort(rates.begin(), rates.end());
  const double median = kernels::median(rates);
  std::cout << fmt::format("{}\n{:.0f} images/s with {} loader threads ({:.0f} to {:.0f} in {} rounds)\n", describe(*dataset),
                           median, options.threads, rates.front(), rates.back(), rates.size());
  if (!options.json.empty()) {
    const nlohmann::ordered_json json = {{"data", options.data.name},
                                         {"batch", options.batch},
                                         {"threads", options.threads},
                                         {"images_per_second", median},
                                         {"rounds", rates}};
    write_file(options.json, json.dump(2) + "\n");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times the preparation of training batches", "loader");
  app.add_option("--data", options.data.name, "The data set")->capture_default_str();
  app.add_option("--data-root", options.data.root, "Folder of the data files, or a packed file");
  app.add_option("--batch", options.batch, "Images per batch")->capture_default_str()->check(bench::number(1, 1 << 20));
  app.add_option("--threads", options.threads, "Loader threads")->capture_default_str()->check(bench::number(0, 1024));
  app.add_option("--rounds", options.rounds, "Rounds")->capture_default_str()->check(bench::number(1, 1e6));
  app.add_option("--seconds", options.seconds, "Seconds per round")->capture_default_str()->check(bench::number(1e-3, 3600));
  app.add_option("--json", options.json, "Also write the result to this file");
  return bench::run_program(app, argc, argv, [&] { return run(options); });
}
