// Shapes and tensors: extents, sizes, and what they refuse.
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

TEST(Shape, without_dimensions_is_a_scalar) {
  EXPECT_EQ(Shape{}.size(), 1U);
  EXPECT_EQ(Shape{}.describe(), "()");
}

TEST(Shape, holds_more_elements_than_an_int_can_count) {
  EXPECT_EQ((Shape{100'000, 32, 32, 512}.size()), std::size_t{100'000} * 32 * 32 * 512);
}

TEST(Shape, is_equal_only_with_the_same_extents_and_rank) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 0}));
  EXPECT_NE((Shape{2}), (Shape{2, 1}));
}

TEST(Shape, refuses_what_it_cannot_be) {
  EXPECT_EQ(error_of<ShapeError>([] { Shape{1, 2, 3, 4, 5}; }), "shape: 5 dimensions, at most 4 are possible");
  EXPECT_EQ(error_of<ShapeError>([] { Shape{2, -3}; }), "shape: extent -3 is negative");
}

TEST(Tensor, refuses_memory_of_another_size) {
  std::vector<float> memory(5);
  EXPECT_EQ(error_of<ShapeError>([&] { tensor_over({2, 3}, memory); }), "tensor: 5 elements of memory for shape (2, 3)");
}

}  // namespace
}  // namespace apam::engine
