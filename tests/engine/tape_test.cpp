// The tape: lifetimes of values, accumulation of gradients, on_gradient_ready. All gradients are exact: for two zero logits and
// label 0, d loss / d logits = gradient_scale * (-1/2, 1/2).
#include "engine/tape.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Values = std::vector<float>;

/// One row of two zero logits that need gradients.
class TwoLogits : public testing::Test {
 protected:
  void SetUp() override { model.tape.begin(Mode::training); }

  Var leaf() { return model.tape.input(tensor_over({1, 2}, zeros), true); }
  void backward_from(const Var& logits) {
    model.loss(logits, labels, 1.0F);
    model.tape.backward();
  }
  Values gradient(const Var& x) const { return values_of(model.tape.gradient(x)); }

  Model model;
  Values zeros = Values(2);
  std::array<std::int32_t, 1> label{0};
  Labels labels = labels_over(label);
};

TEST_F(TwoLogits, receive_the_gradient_of_the_loss) {
  const Var a = leaf();
  backward_from(a);
  EXPECT_EQ(gradient(a), (Values{-0.5F, 0.5F}));
}

TEST_F(TwoLogits, added_to_themselves_receive_the_gradient_twice) {
  const Var a = leaf();
  backward_from(add(a, a));
  EXPECT_EQ(gradient(a), (Values{-1.0F, 1.0F}));
}

TEST_F(TwoLogits, added_three_times_receive_the_gradient_three_times) {
  const Var a = leaf();
  backward_from(add(add(a, a), a));
  EXPECT_EQ(gradient(a), (Values{-1.5F, 1.5F}));
}

TEST_F(TwoLogits, accumulate_over_both_paths_of_a_diamond) {
  const Var a = leaf();
  backward_from(add(scale(a, 3.0F), a));
  EXPECT_EQ(gradient(a), (Values{-2.0F, 2.0F}));
  model.tape.begin(Mode::training);
  const Var b = leaf();
  backward_from(add(b, scale(b, 3.0F)));
  EXPECT_EQ(gradient(b), (Values{-2.0F, 2.0F}));
}

TEST_F(TwoLogits, share_the_memory_of_equal_gradients) {
  const Var a = leaf();
  const Var b = leaf();
  backward_from(add(a, b));
  EXPECT_EQ(model.tape.gradient(a).bytes(), model.tape.gradient(b).bytes());
  EXPECT_EQ(gradient(a), (Values{-0.5F, 0.5F}));
}

TEST_F(TwoLogits, copy_a_shared_gradient_on_write) {
  const Var a = leaf();
  const Var b = leaf();
  backward_from(add(scale(a, 2.0F), add(a, b)));  // a and b share a gradient until scale adds to a's
  EXPECT_EQ(gradient(a), (Values{-1.5F, 1.5F}));
  EXPECT_EQ(gradient(b), (Values{-0.5F, 0.5F}));
  EXPECT_NE(model.tape.gradient(a).bytes(), model.tape.gradient(b).bytes());
}

TEST_F(TwoLogits, copy_a_shared_gradient_on_write_by_pass_on) {
  const Var a = leaf();
  const Var b = leaf();
  const Var c = leaf();
  backward_from(add(add(a, b), add(b, c)));
  EXPECT_EQ(gradient(a), (Values{-0.5F, 0.5F}));
  EXPECT_EQ(gradient(b), (Values{-1.0F, 1.0F}));
  EXPECT_EQ(gradient(c), (Values{-0.5F, 0.5F}));
}

TEST_F(TwoLogits, ignore_uses_that_the_loss_does_not_depend_on) {
  const Var a = leaf();
  const Var dead_end = relu(add(scale(a, 5.0F), a));
  backward_from(a);
  EXPECT_EQ(gradient(a), (Values{-0.5F, 0.5F}));
}

TEST_F(TwoLogits, have_no_gradient_unless_requested) {
  const Var a = leaf();
  const Var constant = model.tape.input(tensor_over({1, 2}, zeros));
  backward_from(add(add(a, constant), constant));
  EXPECT_EQ(gradient(a), (Values{-0.5F, 0.5F}));
  EXPECT_TRUE(throws<KernelError>({"(1, 2)", "gradient"}, [&] { gradient(constant); }));
}

TEST_F(TwoLogits, start_each_pass_without_a_gradient) {
  for (int pass = 0; pass < 3; ++pass) {
    model.tape.begin(Mode::training);
    const Var a = leaf();
    backward_from(scale(a, 2.0F));
    EXPECT_EQ(gradient(a), (Values{-1.0F, 1.0F}));
  }
}

TEST_F(TwoLogits, return_all_memory) {
  {
    const Var a = leaf();
    backward_from(add(relu(scale(a, 3.0F)), a));
    EXPECT_GT(model.tape.arena().bytes_in_use(), 0U) << "the gradient of a";
  }
  EXPECT_EQ(model.tape.arena().bytes_in_use(), 0U);
}

TEST_F(TwoLogits, of_an_unfinished_pass_are_freed_by_begin) {
  model.loss(relu(scale(leaf(), 3.0F)), labels, 1.0F);
  EXPECT_GT(model.tape.arena().bytes_in_use(), 0U);
  model.tape.begin(Mode::training);
  EXPECT_EQ(model.tape.arena().bytes_in_use(), 0U);
}

constexpr std::size_t kBlock = 64 * sizeof(float);  // an image of 64 elements: one aligned block

class Lifetimes : public testing::Test {
 protected:
  Var image() { return model.tape.input(tensor_over({1, 4, 4, 4}, values), true); }
  std::size_t in_use() const { return model.tape.arena().bytes_in_use(); }

  Model model;
  Values values = Values(64, 1.0F);
};

TEST_F(Lifetimes, values_not_needed_by_backward_are_freed_with_the_last_handle) {
  model.tape.begin(Mode::training);
  Var y = scale(image(), 2.0F);
  EXPECT_EQ(in_use(), kBlock);
  y = scale(y, 2.0F);  // scale's backward needs no value
  EXPECT_EQ(in_use(), kBlock);
  const Var copy_of_y = y;
  y = Var();
  EXPECT_EQ(in_use(), kBlock) << "a copy is a handle too";
  EXPECT_EQ(values_of(copy_of_y.data()), Values(64, 4.0F));
}

TEST_F(Lifetimes, values_needed_by_backward_outlive_their_handles) {
  model.tape.begin(Mode::training);
  Var y = relu(image());  // backward of relu reads y
  y = relu(y);
  EXPECT_EQ(in_use(), 2 * kBlock);
  y = Var();
  EXPECT_EQ(in_use(), 2 * kBlock);
  model.tape.begin(Mode::training);
  EXPECT_EQ(in_use(), 0U);
}

TEST_F(Lifetimes, inference_records_nothing) {
  model.tape.begin(Mode::inference);
  EXPECT_FALSE(model.tape.recording());
  Var y = relu(image());
  EXPECT_FALSE(y.needs_gradient());
  for (int i = 0; i < 5; ++i) y = relu(y);
  EXPECT_EQ(in_use(), kBlock);
  y = Var();
  EXPECT_EQ(in_use(), 0U);
  EXPECT_LE(model.tape.arena().peak_bytes(), 2 * kBlock);
  EXPECT_TRUE(throws<KernelError>({"backward", "training"}, [&] { model.tape.backward(); }));
}

/// Linear layers with two inputs and two outputs, with exact gradients.
class LinearLayers : public testing::Test {
 protected:
  LinearLayers() {
    model.arena.initialize(1);
    for (float& value : model.arena.gradients().host()) value = 99.0F;
    model.tape.on_gradient_ready([this](ParameterId id) {
      ready.push_back(id.index);
      at_ready.push_back(values_of(model.arena.gradient(id).data));
    });
  }

  struct Layer {
    ParameterId weight, bias;
  };
  Layer layer(const std::string& name) {
    return {layout.add(name + ".weight", {2, 2}, Initializer::constant(0.0F)),
            layout.add(name + ".bias", {2}, Initializer::constant(0.0F))};
  }
  Values gradient(ParameterId id) const { return values_of(model.arena.gradient(id).data); }
  void backward_from(const Var& logits) {
    model.loss(logits, labels_over(label), 1.0F);
    model.tape.backward();
  }

  ParameterLayout layout;
  Layer first = layer("first"), second = layer("second"), unused = layer("unused");
  Model model{layout};
  Values x{1.0F, 2.0F};
  std::array<std::int32_t, 1> label{0};
  std::vector<int> ready;
  std::vector<Values> at_ready;
};

TEST_F(LinearLayers, gradient_of_a_parameter_used_twice_is_the_sum) {
  // y = W (W x + b) + b with W = [[0, 1], [0, 0]], b = 0: h = W x = (2, 0), y = (0, 0), dy = (-1/2, 1/2).
  // dh = W' dy = (0, -1/2); dW = dy h' + dh x', db = dy + dh.
  model.set(first.weight, {0, 1, 0, 0});
  model.tape.begin(Mode::training);
  const Var input = model.tape.input(tensor_over({1, 2}, x), true);
  backward_from(linear(linear(input, first.weight, first.bias), first.weight, first.bias));
  EXPECT_EQ(gradient(first.weight), (Values{-1.0F, 0.0F, 1.0F - 0.5F, -1.0F}));
  EXPECT_EQ(gradient(first.bias), (Values{-0.5F, 0.0F}));
  EXPECT_EQ(values_of(model.tape.gradient(input)), (Values{0.0F, 0.0F}));  // W' dh
}

TEST_F(LinearLayers, gradient_of_an_unused_parameter_is_zero) {
  model.tape.begin(Mode::training);
  backward_from(linear(model.tape.input(tensor_over({1, 2}, x)), first.weight, first.bias));
  EXPECT_EQ(gradient(first.weight), (Values{-0.5F, -1.0F, 0.5F, 1.0F}));
  EXPECT_EQ(gradient(unused.weight), Values(4));
  EXPECT_EQ(gradient(unused.bias), Values(2));
}

TEST_F(LinearLayers, gradients_are_reported_once_when_complete_last_layer_first) {
  for (int pass = 0; pass < 2; ++pass) {
    ready.clear();
    at_ready.clear();
    model.tape.begin(Mode::training);
    const Var input = model.tape.input(tensor_over({1, 2}, x));
    const Var h = linear(input, first.weight, first.bias);
    backward_from(linear(h, second.weight, second.bias));
    EXPECT_EQ(ready, (std::vector<int>{second.weight.index, second.bias.index, first.weight.index, first.bias.index,
                                       unused.weight.index, unused.bias.index}));
    for (std::size_t i = 0; i < ready.size(); ++i) EXPECT_EQ(at_ready[i], gradient({ready[i]})) << ready[i];
  }
}

TEST_F(LinearLayers, gradient_with_two_contributions_is_reported_after_the_second) {
  model.tape.begin(Mode::training);
  const Var input = model.tape.input(tensor_over({1, 2}, x));
  const Var h = linear(linear(input, first.weight, first.bias), second.weight, second.bias);
  backward_from(linear(h, first.weight, first.bias));
  EXPECT_EQ(ready, (std::vector<int>{second.weight.index, second.bias.index, first.weight.index, first.bias.index,
                                     unused.weight.index, unused.bias.index}));
  for (std::size_t i = 0; i < ready.size(); ++i) EXPECT_EQ(at_ready[i], gradient({ready[i]})) << ready[i];
}

TEST_F(LinearLayers, gradient_with_an_unused_contribution_is_reported_at_the_end) {
  model.tape.begin(Mode::training);
  const Var input = model.tape.input(tensor_over({1, 2}, x));
  const Var logits = linear(input, first.weight, first.bias);
  const Var dead_end = linear(linear(input, first.weight, first.bias), second.weight, second.bias);
  backward_from(logits);
  EXPECT_EQ(ready, (std::vector<int>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(gradient(first.weight), (Values{-0.5F, -1.0F, 0.5F, 1.0F}));
  EXPECT_EQ(gradient(second.weight), Values(4));
  for (std::size_t i = 0; i < ready.size(); ++i) EXPECT_EQ(at_ready[i], gradient({ready[i]})) << ready[i];
}

}  // namespace
}  // namespace apam::engine
