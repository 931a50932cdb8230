// The images of a batch for every order, batch size and number of parts, and the output of prepare().
#include "data/batches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "kernels/runtime/philox.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

std::shared_ptr<const Batches> make_batches(std::int64_t images, const BatchOptions& options) {
  return std::make_shared<Batches>(std::make_shared<NumberedImages>(images, ImageShape{2, 2, 1}), options);
}

std::vector<std::int64_t> numbers(std::int64_t n) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(n));
  std::iota(result.begin(), result.end(), 0);
  return result;
}

std::vector<std::int64_t> sorted(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  return values;
}

/// The images of all batches of an epoch, in order.
std::vector<std::int64_t> epoch_images(const Batches& batches, std::int64_t epoch) {
  std::vector<std::int64_t> all;
  for (std::int64_t b = epoch * batches.per_epoch(); b < (epoch + 1) * batches.per_epoch(); ++b) {
    const auto part = batches.indices(batches.whole(b));
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(Shuffled, IsFisherYatesWithTheRandomNumbersOfTheEpoch) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 8, 1001}) {
    const Random random(42, Purpose::shuffle, 7);
    Permutation expected(static_cast<std::size_t>(n));
    std::iota(expected.begin(), expected.end(), 0);
    for (auto i = static_cast<std::uint32_t>(n - 1); i >= 1; --i) std::swap(expected[i], expected[random.below(i + 1, i)]);
    EXPECT_EQ(shuffled(n, 42, 7), expected) << n;
  }
  EXPECT_TRUE(shuffled(0, 42, 7).empty());
}

TEST(Shuffled, IsUniformOverPermutationsOfThree) {
  constexpr int kDraws = 60000;
  std::map<Permutation, int> counts;
  for (int epoch = 0; epoch < kDraws; ++epoch) ++counts[shuffled(3, 1, epoch)];
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 10000, 457);  // 5 sqrt(N p (1-p))
}

TEST(Permutations, OfTwoEpochsAreCached) {
  Permutations permutations(50, 3);
  const auto first = permutations.of(0);
  const auto second = permutations.of(1);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(permutations.of(0), first);  // the same memory
    EXPECT_EQ(permutations.of(1), second);
  }
  EXPECT_EQ(*permutations.of(2), shuffled(50, 3, 2));
  EXPECT_EQ(*permutations.of(0), shuffled(50, 3, 0));
  EXPECT_EQ(*second, shuffled(50, 3, 1));  // outlives the cache entry
}

TEST(Batches, CountsBatchesAndRows) {
  struct Case {
    std::int64_t images, batch, per_epoch, last;
  };
  for (const Case& c : {Case{10, 5, 2, 5}, Case{11, 5, 3, 1}, Case{4, 5, 1, 4}, Case{5, 1, 5, 1}, Case{50000, 80, 625, 80},
                        Case{50000, 96, 521, 80}}) {
    const auto batches = make_batches(c.images, {.batch = c.batch});
    EXPECT_EQ(batches->per_epoch(), c.per_epoch) << c.images << ' ' << c.batch;
    for (const std::int64_t epoch : {0, 3}) {
      const std::int64_t last = (epoch + 1) * c.per_epoch - 1;
      EXPECT_EQ(batches->rows(last), c.last) << c.images << ' ' << c.batch;
      EXPECT_EQ(batches->epoch(last), epoch);
      EXPECT_EQ(batches->epoch(last + 1), epoch + 1);
      EXPECT_EQ(batches->rows(epoch * c.per_epoch), c.per_epoch > 1 ? c.batch : c.last);
    }
  }
}

TEST(Batches, AnEpochCoversEveryImageOnce) {
  for (const auto& [images, batch] : {std::pair{23, 5}, {23, 23}, {23, 100}, {20, 5}, {1, 1}}) {
    const auto in_order = make_batches(images, {.batch = batch, .order = Order::sequential});
    const auto mixed = make_batches(images, {.batch = batch, .order = Order::shuffled, .seed = 8});
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      EXPECT_EQ(epoch_images(*in_order, epoch), numbers(images));
      EXPECT_EQ(sorted(epoch_images(*mixed, epoch)), numbers(images));
    }
    if (images > 1) {
      EXPECT_NE(epoch_images(*mixed, 0), epoch_images(*mixed, 1));
      EXPECT_NE(epoch_images(*mixed, 0), epoch_images(*make_batches(images, {.batch = batch, .seed = 9}), 0));
    }
    EXPECT_EQ(epoch_images(*mixed, 1), epoch_images(*make_batches(images, {.batch = batch, .seed = 8}), 1));
  }
}

TEST(Batches, SharesPartitionTheBatch) {
  const auto batches = make_batches(47, {.batch = 10, .seed = 2});
  for (std::int64_t parts = 1; parts <= 13; ++parts) {
    for (std::int64_t batch = 0; batch < 2 * batches->per_epoch(); ++batch) {
      std::vector<std::int64_t> together;
      std::int64_t smallest = 1000, largest = 0;
      for (std::int64_t part = 0; part < parts; ++part) {
        const Request request = batches->share(batch, part, parts);
        const auto images = batches->indices(request);
        EXPECT_EQ(static_cast<std::int64_t>(images.size()), request.count());
        smallest = std::min(smallest, request.count());
        largest = std::max(largest, request.count());
        together.insert(together.end(), images.begin(), images.end());
      }
      EXPECT_EQ(together, batches->indices(batches->whole(batch))) << parts << " parts of batch " << batch;
      EXPECT_LE(largest - smallest, 1) << parts << " parts of batch " << batch;
    }
  }
}

TEST(Batches, PrepareWritesImagesAndLabels) {
  const ImageShape shape{6, 5, 3};
  const auto dataset = std::make_shared<NumberedImages>(17, shape);
  const Batches batches(dataset, {.batch = 7, .augmentation = {2, true}, .seed = 11});
  const ImageWriter writer(shape, dataset->info().normalisation, 2);
  Batch batch(shape, 7);
  std::vector<std::uint8_t> scratch(shape.count());
  std::vector<float> row(shape.row()), expected(shape.count());
  for (const Request& request : {batches.whole(0), batches.whole(5), Request{4, {2, 6}}, Request{1, {3, 3}}}) {
    batches.prepare(request, batch);
    const auto indices = batches.indices(request);
    ASSERT_EQ(batch.count(), request.count());
    ASSERT_EQ(batch.images().size(), indices.size() * shape.count());
    ASSERT_EQ(batch.labels().size(), indices.size());
    for (std::size_t i = 0; i < indices.size(); ++i) {
      EXPECT_EQ(batch.labels().host()[i], indices[i]);
      const Sample sample = dataset->read(Split::train, indices[i], scratch);
      writer.write(sample.pixels, draw_placement({2, true}, 11, batches.epoch(request.batch), indices[i]), row, expected);
      const auto got = batch.images().host().subspan(i * shape.count(), shape.count());
      EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin())) << "batch " << request.batch << " row " << i;
    }
  }
}

TEST(Batches, RowsOfAShareEqualTheRowsOfTheBatch) {
  const ImageShape shape{8, 8, 3};
  const Batches batches(std::make_shared<NumberedImages>(50, shape), {.batch = 20, .seed = 4});
  Batch whole(shape, 20), part(shape, 20);
  for (const std::int64_t b : {0, 2, 7}) {
    batches.prepare(batches.whole(b), whole);
    for (std::int64_t rank = 0; rank < 3; ++rank) {
      batches.prepare(batches.share(b, rank, 3), part);
      const auto begin = static_cast<std::size_t>(part.request().rows.begin) * shape.count();
      const auto expected = whole.images().host().subspan(begin, part.images().size());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), part.images().host().begin())) << b << ' ' << rank;
    }
  }
}

TEST(Batches, EvaluationUsesTestImagesInOrderWithoutAugmentation) {
  const ImageShape shape{3, 3, 1};
  const auto dataset = std::make_shared<NumberedImages>(8, shape);
  const Batches batches(dataset, evaluation_batches(5));
  EXPECT_EQ(epoch_images(batches, 0), numbers(8));
  Batch batch(shape, 5);
  batches.prepare(batches.whole(1), batch);
  ASSERT_EQ(batch.count(), 3);
  const auto values = batch.images().host();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto byte = NumberedImages::byte(Split::test, 5 + static_cast<std::int64_t>(i / 9), i % 9);
    EXPECT_EQ(values[i], (static_cast<float>(byte) / 255.0F - 0.1F) / 0.25F) << i;
  }
}

TEST(Batches, RejectsInvalidRequestsAndOptions) {
  EXPECT_TRUE(throws<InputError>({"batches", "0", "images", "1"}, [] { make_batches(5, {.batch = 0}); }));
  const auto batches = make_batches(12, {.batch = 5});
  Batch batch({2, 2, 1}, 4);
  const auto rejects = [&](const Request& request, const std::vector<std::string_view>& words) {
    return throws<ShapeError>(words, [&] { batches->prepare(request, batch); });
  };
  EXPECT_TRUE(rejects({-1, {0, 1}}, {"batches", "batch", "-1", "0"}));
  EXPECT_TRUE(rejects({5, {0, 3}}, {"batches", "rows", "0", "3", "batch", "5", "2"}));
  EXPECT_TRUE(rejects({0, {-1, 3}}, {"batches", "rows", "-1", "3", "batch", "0", "5"}));
  EXPECT_TRUE(rejects({0, {3, 2}}, {"batches", "rows", "3", "2", "batch", "0", "5"}));
  EXPECT_TRUE(rejects({0, {0, 5}}, {"batches", "5", "images", "2x2x1", "4", "2x2x1"}));
  EXPECT_TRUE(throws<InputError>({"order", "random", "shuffled", "sequential"}, [] { parse_order("random"); }));
  EXPECT_EQ(parse_order("sequential"), Order::sequential);
  EXPECT_EQ(parse_order("shuffled"), Order::shuffled);
}

}  // namespace
}  // namespace apam::data
