// Shapes and tensors: extents, sizes, errors.
#include "engine/shape.h"

#include <gtest/gtest.h>

#include "engine/tensor.h"
#include "tests/engine/model.h"

namespace apam::engine {
namespace {

TEST(Shape, counts_and_describes_its_extents) {
  const Shape shape{80, 32, 32, 64};
  EXPECT_EQ(shape.rank(), 4);
  EXPECT_EQ(shape[3], 64);
  EXPECT_EQ(shape.size(), 5'242'880U);
  EXPECT_EQ(shape.describe(), "(80, 32, 32, 64)");
  EXPECT_EQ(fmt::format("{}", shape), shape.describe());
}

TEST(Shape, of_rank_zero_is_a_scalar) {
  EXPECT_EQ(Shape{}.size(), 1U);
  EXPECT_EQ(Shape{}.describe(), "()");
}

TEST(Shape, size_may_exceed_an_int) { EXPECT_EQ((Shape{100'000, 32, 32, 512}.size()), std::size_t{100'000} * 32 * 32 * 512); }

TEST(Shape, equality_compares_extents_and_rank) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 0}));
  EXPECT_NE((Shape{2}), (Shape{2, 1}));
}

TEST(Shape, rejects_more_than_four_dimensions_and_negative_extents) {
  EXPECT_TRUE(throws<ShapeError>({"shape", "5", "4"}, [] { Shape{1, 2, 3, 4, 5}; }));
  EXPECT_TRUE(throws<ShapeError>({"shape", "-3"}, [] { Shape{2, -3}; }));
}

TEST(Tensor, rejects_memory_of_another_size) {
  std::vector<float> memory(5);
  EXPECT_TRUE(throws<ShapeError>({"tensor", "(2, 3)", "5"}, [&] { tensor_over({2, 3}, memory); }));
}

}  // namespace
}  // namespace apam::engine
