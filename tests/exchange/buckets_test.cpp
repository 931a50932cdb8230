#include "apam/exchange/buckets.h"

#include <gtest/gtest.h>

#include "apam/exchange/error.h"

namespace apam::exchange {
namespace {

// Windows are padded to 16 floats: 16, 112, 32, 16 at 0, 16, 128, 160; 176 in all.
engine::ParameterLayout layout() {
  engine::ParameterLayout result;
  int i = 0;
  for (const int size : {3, 100, 20, 16}) {
    result.add(fmt::format("p{}", i++), engine::Shape{size}, engine::Initializer::constant(0.0F));
  }
  return result;
}

engine::ParameterId id(int index) { return {index}; }

TEST(Buckets, CoverTheGradientsFromTheEnd) {
  const BucketQueue queue(layout(), 64);
  ASSERT_EQ(queue.buckets().size(), 3U);
  EXPECT_EQ(queue.buckets()[0].offset, 128U);  // parameters 2 and 3
  EXPECT_EQ(queue.buckets()[0].count, 48U);
  EXPECT_EQ(queue.buckets()[0].parameters, 2);
  EXPECT_EQ(queue.buckets()[1].offset, 16U);  // too large to share
  EXPECT_EQ(queue.buckets()[1].count, 112U);
  EXPECT_EQ(queue.buckets()[2].offset, 0U);
  EXPECT_EQ(queue.buckets()[2].count, 16U);
}

TEST(Buckets, TileTheVectorForEverySize) {
  for (std::size_t size = 1; size <= 200; ++size) {
    const BucketQueue queue(layout(), size);
    std::size_t end = layout().weights_size();
    int parameters = 0;
    for (const Bucket& bucket : queue.buckets()) {
      EXPECT_EQ(bucket.offset + bucket.count, end);
      EXPECT_TRUE(bucket.count <= size || bucket.parameters == 1) << size;
      end = bucket.offset;
      parameters += bucket.parameters;
    }
    EXPECT_EQ(end, 0U);
    EXPECT_EQ(parameters, 4);
  }
}

TEST(Buckets, AreTakenInOrderOnceComplete) {
  BucketQueue queue(layout(), 64);
  const auto& buckets = queue.buckets();
  queue.ready(id(1));
  EXPECT_EQ(queue.take(), nullptr) << "bucket 1 is complete, but bucket 0 is not";
  queue.ready(id(3));
  EXPECT_EQ(queue.take(), nullptr);
  queue.ready(id(2));
  EXPECT_EQ(queue.take(), &buckets[0]);
  EXPECT_EQ(queue.take(), &buckets[1]);
  EXPECT_EQ(queue.take(), nullptr);
  EXPECT_EQ(queue.take_any(), &buckets[2]) << "the rest, complete or not";
  EXPECT_EQ(queue.take_any(), nullptr);
  queue.reset();
  EXPECT_EQ(queue.take(), nullptr);
  for (int i = 0; i < 4; ++i) queue.ready(id(i));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(queue.take(), &buckets[i]);
}

TEST(Buckets, RefuseInvalidCalls) {
  BucketQueue queue(layout(), 64);
  queue.ready(id(0));
  EXPECT_THROW(queue.ready(id(0)), ExchangeError);
  EXPECT_THROW(queue.ready(id(4)), ExchangeError);
  EXPECT_THROW(BucketQueue(layout(), 0), InputError);
}

}  // namespace
}  // namespace apam::exchange
