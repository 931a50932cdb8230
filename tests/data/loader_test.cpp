// The loader: same batches for any number of threads, in order, in bounded memory, without busy-waiting.
#include "data/loader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>

#include "kernels/runtime/run_clock.h"
#include "tests/data/support.h"
#include "tests/support/few_threads.h"

namespace apam::data {
namespace {

constexpr ImageShape kShape{8, 8, 3};

std::shared_ptr<const Batches> make_batches(std::int64_t images, std::int64_t batch,
                                            std::function<void(std::int64_t)> on_read = {}) {
  return std::make_shared<Batches>(std::make_shared<NumberedImages>(images, kShape, std::move(on_read)),
                                   BatchOptions{.batch = batch, .seed = 6});
}

std::vector<std::int32_t> labels(const Batch& batch) {
  const auto host = batch.labels().host();
  return {host.begin(), host.end()};
}

struct Content {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  friend bool operator==(const Content&, const Content&) = default;
};

/// All batches of three epochs, interleaved with parts of other batches.
std::vector<Content> content(const std::shared_ptr<const Batches>& batches, LoaderOptions options) {
  std::vector<Request> requests;
  for (std::int64_t b = 0; b < 3 * batches->per_epoch(); ++b) {
    requests.push_back(batches->whole(b));
    requests.push_back(batches->share(3 * batches->per_epoch() - 1 - b, b % 3, 3));
  }
  Loader loader(batches, options);
  for (const Request& request : requests) loader.submit(request);
  std::vector<Content> result;
  for (const Request& request : requests) {
    const Batch& batch = loader.next();
    EXPECT_EQ(batch.request().batch, request.batch);
    EXPECT_EQ(batch.request().rows.begin, request.rows.begin);
    const auto images = batch.images().host();
    result.push_back({{images.begin(), images.end()}, labels(batch)});
  }
  EXPECT_EQ(loader.pending(), 0);
  return result;
}

TEST(Loader, ReportsThreadsThatCannotBeStarted) {
  const auto batches = make_batches(53, 8);
  for (const std::size_t most : {0, 3}) {
    const support::FewThreads few(most);
    EXPECT_TRUE(throws<DeviceError>({"loader", std::to_string(most + 1), "50", "Resource temporarily unavailable"},
                                    [&] { const Loader loader(batches, {.threads = 50}); }));
  }
}

TEST(Loader, DeliversTheSameBatchesForAnyNumberOfThreads) {
  const auto batches = make_batches(53, 8);
  const auto expected = content(batches, {.threads = 0});
  for (const int threads : {1, 2, 3, 7}) {
    for (const int ahead : {1, 2, 5}) {
      EXPECT_TRUE(content(batches, {.threads = threads, .ahead = ahead}) == expected)
          << threads << " threads, " << ahead << " ahead";
    }
  }
}

// Workers lease batches one at a time in random order, each prefetching two.
TEST(Loader, WorkersTogetherCoverEveryImageOncePerEpoch) {
  constexpr std::int64_t kImages = 61;
  for (const int workers : {1, 2, 3, 5, 8}) {
    const auto batches = make_batches(kImages, 7);
    std::vector<std::unique_ptr<Loader>> loaders;
    for (int w = 0; w < workers; ++w)
      loaders.push_back(std::make_unique<Loader>(batches, LoaderOptions{.threads = w % 3, .ahead = 2}));
    std::mt19937 arrivals(static_cast<unsigned>(workers));
    const std::int64_t updates = 3 * batches->per_epoch();
    std::vector<std::vector<int>> seen(3, std::vector<int>(kImages, 0));
    const auto take = [&](Loader& loader) {
      const Batch& batch = loader.next();
      const auto epoch = static_cast<std::size_t>(batches->epoch(batch.request().batch));
      for (const std::int32_t label : labels(batch)) ++seen[epoch][static_cast<std::size_t>(label)];
    };
    for (std::int64_t lease = 0; lease < updates; ++lease) {
      Loader& loader = *loaders[arrivals() % loaders.size()];
      if (loader.pending() == 2) take(loader);
      loader.submit(batches->whole(lease));
    }
    for (const auto& loader : loaders) {
      while (loader->pending() > 0) take(*loader);
    }
    EXPECT_EQ(seen, std::vector<std::vector<int>>(3, std::vector<int>(kImages, 1))) << workers << " workers";
  }
}

TEST(Loader, DeliversAnEvaluationEpochInOrder) {
  const auto dataset = std::make_shared<NumberedImages>(22, kShape);
  Loader loader(std::make_shared<Batches>(dataset, evaluation_batches(5)), {.threads = 1});
  for (int pass = 0; pass < 2; ++pass) {
    loader.submit_epoch(pass);
    std::vector<std::int32_t> all;
    while (loader.pending() > 0) {
      const auto part = labels(loader.next());
      all.insert(all.end(), part.begin(), part.end());
    }
    ASSERT_EQ(all.size(), 22U);
    for (std::int32_t i = 0; i < 22; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
  }
}

TEST(Loader, PrefetchesNoMoreThanTheRingHolds) {
  std::atomic<int> reads{0};
  Loader loader(make_batches(100, 4, [&](std::int64_t) { ++reads; }), {.threads = 3, .ahead = 2});
  for (std::int64_t b = 0; b < 20; ++b) loader.submit(loader.batches().whole(b));
  for (int taken = 0; taken < 5; ++taken) {
    const int room = 4 * (3 + std::max(0, taken - 1));  // the caller still uses one slot
    EXPECT_TRUE(eventually([&] { return reads == room; })) << reads << " reads after " << taken << " batches";
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(reads, room) << "after " << taken << " batches";
    loader.next();
  }
}

TEST(Loader, AllocatesNoBufferAfterConstruction) {
  const auto batches = make_batches(30, 4);
  for (const int threads : {0, 2}) {
    Loader loader(batches, {.threads = threads});
    const auto before = Buffer::allocations();
    loader.submit_epoch(0);
    while (loader.pending() > 0) loader.next();
    EXPECT_EQ(Buffer::allocations(), before) << threads;
  }
}

TEST(Loader, KeepsABatchUnchangedUntilTheNextIsTaken) {
  Loader loader(make_batches(60, 5), {.threads = 2, .ahead = 1});
  loader.submit_epoch(0);
  while (loader.pending() > 0) {
    const Batch& batch = loader.next();
    const auto images = batch.images().host();
    const std::vector<float> before(images.begin(), images.end());
    const Request request = batch.request();
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // time for the threads to prefetch
    EXPECT_TRUE(std::equal(images.begin(), images.end(), before.begin()));
    EXPECT_EQ(batch.request().batch, request.batch);
  }
}

TEST(Loader, ReportsAnUnreadableImageWithItsBatchAndContinues) {
  for (const int threads : {0, 1, 3}) {
    const auto batches = make_batches(24, 4, [](std::int64_t image) {
      if (image == 13) throw InputError("numbered: image 13 cannot be read");
    });
    Loader loader(batches, {.threads = threads});
    loader.submit_epoch(0);
    int errors = 0, good = 0;
    for (std::int64_t b = 0; b < batches->per_epoch(); ++b) {
      const auto images = batches->indices(batches->whole(b));
      if (std::find(images.begin(), images.end(), 13) != images.end()) {
        EXPECT_TRUE(throws<InputError>({"numbered", "13"}, [&] { loader.next(); }));
        ++errors;
      } else {
        EXPECT_EQ(labels(loader.next()), (std::vector<std::int32_t>{images.begin(), images.end()}));
        ++good;
      }
    }
    EXPECT_EQ(errors, 1) << threads;
    EXPECT_EQ(good, 5) << threads;
  }
}

TEST(Loader, CanBeDestroyedWithPendingRequests) {
  std::atomic<int> reads{0};
  for (int round = 0; round < 20; ++round) {
    Loader loader(make_batches(400, 4, [&](std::int64_t) { ++reads; }), {.threads = 3});
    loader.submit_epoch(0);
    if (round % 2 == 0) loader.next();
  }
  EXPECT_LE(reads, 20 * 4 * 4);  // three slots and one batch taken: the rest of the epoch was dropped
}

TEST(Loader, SleepsWhileWaiting) {
  std::optional<Loader> loader;
  loader.emplace(make_batches(4, 1, [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(150)); }),
                 LoaderOptions{.threads = 2});
  const double before = processor_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // threads wait for requests
  loader->submit_epoch(0);
  while (loader->pending() > 0) loader->next();  // the caller waits for batches
  EXPECT_LT(processor_seconds() - before, 0.1);  // of 0.4 s or more
  EXPECT_GE(loader->seconds_waited(), 0.25);
}

TEST(Loader, RejectsInvalidOptionsAndRequests) {
  const auto batches = make_batches(10, 4);
  const auto make = [&](const LoaderOptions& options) { Loader(batches, options); };
  EXPECT_TRUE(throws<InputError>({"loader", "-1", "threads"}, [&] { make({.threads = -1}); }));
  EXPECT_TRUE(throws<InputError>({"loader", "0", "ahead", "2", "threads"}, [&] { make({.threads = 2, .ahead = 0}); }));
  EXPECT_TRUE(throws<InputError>({"loader", "-3", "rows"}, [&] { make({.rows = -3}); }));
  Loader loader(batches, {.rows = 2});
  EXPECT_TRUE(throws<ShapeError>({"loader", "1", "0"}, [&] { loader.next(); }));
  EXPECT_TRUE(throws<ShapeError>({"loader", "4", "rows", "2"}, [&] { loader.submit(batches->whole(0)); }));
  const Request beyond{2, {0, 3}};
  EXPECT_TRUE(throws<ShapeError>({"batches", "rows", "0", "3", "batch", "2", "2"}, [&] { loader.submit(beyond); }));
  loader.submit(batches->whole(2));
  EXPECT_EQ(loader.next().count(), 2);
}

}  // namespace
}  // namespace apam::data
