// The naive loops in double against central finite differences, and against hand-computed values.
//
// For random r and the scalar L = sum r * output, backward with d output = r must give dL / d input. Central differences
//   (L(x + h) - L(x - h)) / 2h  have the error  h^2 / 6 * L'''  (truncation)  plus  eps * |L| / h  (rounding).
// With h = eps^(1/3) both are about eps^(2/3) = 4e-11 times the size of L. L''' is larger by small factors if channels have a
// deviation below 1. A factor of 100 covers both, and is 1e5 below the effect of a wrong formula.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <numeric>

#include "kernels/reference/add.h"
#include "kernels/reference/avg_pool.h"
#include "kernels/reference/batch_norm.h"
#include "kernels/reference/conv2d.h"
#include "kernels/reference/linear.h"
#include "kernels/reference/optimizer_step.h"
#include "kernels/reference/relu.h"
#include "kernels/reference/running_average.h"
#include "kernels/reference/scale.h"
#include "kernels/reference/softmax_cross_entropy.h"
#include "kernels/runtime/philox.h"

namespace apam::kernels::reference {
namespace {

using Vector = std::vector<double>;

Vector normals(std::size_t size, std::uint64_t stream) {
  const Random random(11, Purpose::sample, stream);
  Vector values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = random.normal(i);
  return values;
}

double dot(const Vector& a, const Vector& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

/// Compares the gradient of `loss` with respect to `input`, which `loss` reads, with central differences.
void expect_gradient(const char* name, Vector& input, const Vector& gradient, const std::function<double()>& loss) {
  const double eps = std::numeric_limits<double>::epsilon();
  const double h = std::cbrt(eps);
  const double tolerance = 100 * h * h * std::max(1.0, std::abs(loss()));
  ASSERT_EQ(input.size(), gradient.size()) << name;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const double value = input[i];
    input[i] = value + h;
    const double above = loss();
    input[i] = value - h;
    const double below = loss();
    input[i] = value;
    EXPECT_NEAR(gradient[i], (above - below) / (2 * h), tolerance) << name << "[" << i << "]";
  }
}

TEST(Reference, conv2d_gradients) {
  for (const Conv2d::Problem& p : {Conv2d::Problem{.n = 2, .h = 5, .w = 4, .c = 3, .k = 2, .r = 3, .s = 3, .padding = 1},
                                   {.n = 1, .h = 6, .w = 7, .c = 2, .k = 3, .r = 3, .s = 2, .stride = 2, .padding = 1},
                                   {.n = 2, .h = 5, .w = 5, .c = 2, .k = 2, .r = 1, .s = 1, .stride = 2},
                                   {.n = 1, .h = 4, .w = 4, .c = 1, .k = 2, .r = 5, .s = 5, .padding = 2}}) {
    SCOPED_TRACE(p.describe());
    Vector x = normals(p.x_size(), 1), w = normals(p.w_size(), 2);
    const Vector dy = normals(p.y_size(), 3);
    Vector y(p.y_size()), dx(p.x_size()), dw(p.w_size());
    const auto loss = [&] {
      conv2d_forward(p, x.data(), w.data(), y.data());
      return dot(y, dy);
    };
    conv2d_backward_input(p, dy.data(), w.data(), dx.data(), Write::overwrite);
    conv2d_backward_weight(p, x.data(), dy.data(), dw.data(), Write::overwrite);
    expect_gradient("dx", x, dx, loss);
    expect_gradient("dw", w, dw, loss);
  }
}

TEST(Reference, conv2d_values) {
  const Conv2d::Problem p{.n = 1, .h = 2, .w = 3, .c = 1, .k = 1, .r = 2, .s = 2, .stride = 1, .padding = 1};
  const Vector x{1, 2, 3, 4, 5, 6}, w{1, 10, 100, 1000};  // the window [1 10; 100 1000] shows which pixel met which tap
  Vector y(p.y_size());
  conv2d_forward(p, x.data(), w.data(), y.data());
  EXPECT_EQ(y, (Vector{1000, 2100, 3200, 300, 4010, 5421, 6532, 603, 40, 54, 65, 6}));
}

TEST(Reference, batch_norm_gradients_pass_through_the_statistics) {
  for (const bool residual : {false, true}) {
    for (const bool relu : {false, true}) {
      const BatchNorm::Problem p{.rows = 7, .c = 3, .residual = residual, .relu = relu};
      SCOPED_TRACE(p.describe());
      const std::size_t channels = 3;
      Vector x = normals(p.size(), 1), r = normals(residual ? p.size() : 0, 2);
      Vector gamma = normals(channels, 3), beta = normals(channels, 4);
      const Vector dy = normals(p.size(), 5);
      Vector y(p.size()), mean(channels), variance(channels), inv_std(channels);
      const auto loss = [&] {
        batch_norm_forward_training<double>(p, {x.data(), r.data(), gamma.data(), beta.data()}, y.data(),
                                            {mean.data(), variance.data(), inv_std.data()});
        return dot(y, dy);
      };
      loss();
      Vector dx(p.size()), dr(r.size()), dgamma(channels), dbeta(channels);
      batch_norm_backward<double>(
          p, dy.data(), {x.data(), y.data(), mean.data(), inv_std.data()}, gamma.data(),
          {dx.data(), dr.data(), dgamma.data(), dbeta.data(), Write::overwrite, Write::overwrite, Write::overwrite});
      expect_gradient("dx", x, dx, loss);
      expect_gradient("d_residual", r, dr, loss);
      expect_gradient("dgamma", gamma, dgamma, loss);
      expect_gradient("dbeta", beta, dbeta, loss);
    }
  }
}

TEST(Reference, batch_norm_values) {
  const BatchNorm::Problem p{.rows = 4, .c = 1, .eps = 0.25F};
  const Vector x{1, 3, 5, 7}, gamma{3}, beta{10};  // mean 4, biased variance 5, unbiased 20 / 3
  Vector y(4), mean(1), variance(1), inv_std(1);
  batch_norm_forward_training<double>(p, {x.data(), nullptr, gamma.data(), beta.data()}, y.data(),
                                      {mean.data(), variance.data(), inv_std.data()});
  EXPECT_DOUBLE_EQ(mean[0], 4);
  EXPECT_DOUBLE_EQ(variance[0], 20.0 / 3);
  EXPECT_DOUBLE_EQ(inv_std[0], 1 / std::sqrt(5.25));
  EXPECT_DOUBLE_EQ(y[0], 10 - 9 / std::sqrt(5.25));
  const Vector running_mean{1}, running_variance{3.75};  // inv_std 1/2
  batch_norm_forward_inference<double>(p, {x.data(), nullptr, gamma.data(), beta.data()}, running_mean.data(),
                                       running_variance.data(), y.data());
  EXPECT_EQ(y, (Vector{10, 13, 16, 19}));
}

TEST(Reference, batch_norm_of_one_row_has_no_variance_to_divide_by) {
  const BatchNorm::Problem p{.rows = 1, .c = 1, .eps = 0.25F};
  const Vector x{5}, gamma{3}, beta{10};
  Vector y(1), mean(1), variance(1), inv_std(1);
  batch_norm_forward_training<double>(p, {x.data(), nullptr, gamma.data(), beta.data()}, y.data(),
                                      {mean.data(), variance.data(), inv_std.data()});
  EXPECT_EQ(variance[0], 0);
  EXPECT_EQ(inv_std[0], 2);
  EXPECT_EQ(y[0], 10);
}

TEST(Reference, relu_gradient) {
  const Relu::Problem p{.size = 50};
  Vector x = normals(50, 1);
  const Vector dy = normals(50, 2);
  Vector y(50), dx(50);
  const auto loss = [&] {
    relu_forward(p, x.data(), y.data());
    return dot(y, dy);
  };
  loss();
  relu_backward(p, dy.data(), y.data(), dx.data(), Write::overwrite);
  expect_gradient("dx", x, dx, loss);
}

TEST(Reference, add_and_scale) {
  const Vector a{1, -2, 3}, b{10, 20, -30};
  Vector y(3);
  add_forward(Add::Problem{.size = 3}, a.data(), b.data(), y.data());
  EXPECT_EQ(y, (Vector{11, 18, -27}));
  scale_forward(Scale::Problem{.size = 3, .factor = -0.5F}, a.data(), y.data());
  EXPECT_EQ(y, (Vector{-0.5, 1, -1.5}));
}

TEST(Reference, avg_pool_gradient) {
  for (const AvgPool::Problem& p : {AvgPool::Problem{.n = 2, .h = 4, .w = 6, .c = 3, .window = 2},
                                    {.n = 1, .h = 5, .w = 7, .c = 2, .window = 2},
                                    {.n = 1, .h = 3, .w = 3, .c = 2, .window = 3}}) {
    SCOPED_TRACE(p.describe());
    Vector x = normals(p.x_size(), 1);
    const Vector dy = normals(p.y_size(), 2);
    Vector y(p.y_size()), dx(p.x_size());
    const auto loss = [&] {
      avg_pool_forward(p, x.data(), y.data());
      return dot(y, dy);
    };
    avg_pool_backward(p, dy.data(), dx.data(), Write::overwrite);
    expect_gradient("dx", x, dx, loss);
  }
}

TEST(Reference, linear_gradients) {
  const Linear::Problem p{.n = 3, .c = 5, .k = 4};
  Vector x = normals(15, 1), w = normals(20, 2), b = normals(4, 3);
  const Vector dy = normals(12, 4);
  Vector y(12), dx(15), dw(20), db(4);
  const auto loss = [&] {
    linear_forward(p, x.data(), w.data(), b.data(), y.data());
    return dot(y, dy);
  };
  linear_backward_input(p, dy.data(), w.data(), dx.data(), Write::overwrite);
  linear_backward_weight(p, x.data(), dy.data(), dw.data(), db.data(), Write::overwrite);
  expect_gradient("dx", x, dx, loss);
  expect_gradient("dw", w, dw, loss);
  expect_gradient("db", b, db, loss);
}

TEST(Reference, softmax_cross_entropy_gradient) {
  const SoftmaxCrossEntropy::Problem p{.n = 4, .classes = 6};
  Vector logits = normals(p.size(), 1);
  const std::vector<std::int32_t> labels{0, 5, 2, 2};
  constexpr double kScale = 0.25;
  Vector probabilities(p.size()), sums(SoftmaxCrossEntropy::sum_count), dlogits(p.size());
  const auto loss = [&] {
    softmax_cross_entropy_forward(p, logits.data(), labels.data(), probabilities.data(), sums.data());
    return kScale * sums[SoftmaxCrossEntropy::loss_sum];
  };
  loss();
  softmax_cross_entropy_backward(p, probabilities.data(), labels.data(), kScale, dlogits.data());
  expect_gradient("dlogits", logits, dlogits, loss);
}

TEST(Reference, softmax_cross_entropy_values) {
  const SoftmaxCrossEntropy::Problem p{.n = 3, .classes = 7};
  const double log2 = std::log(2.0);
  const Vector logits{0,   0, 0, 0, 0, 0, 0,            // ties: the label 4 ranks fifth, behind the four before it
                      0,   0, 0, 0, 0, 0, 0,            // the label 5 ranks sixth
                      800, 0, 0, 0, 0, 0, 800 + log2};  // far beyond exp's range; p = 1/3, 2/3
  const std::vector<std::int32_t> labels{4, 5, 6};
  Vector probabilities(p.size()), sums(SoftmaxCrossEntropy::sum_count);
  softmax_cross_entropy_forward(p, logits.data(), labels.data(), probabilities.data(), sums.data());
  EXPECT_NEAR(sums[SoftmaxCrossEntropy::loss_sum], 2 * std::log(7.0) + std::log(1.5), 1e-12);
  EXPECT_EQ(sums[SoftmaxCrossEntropy::top1_count], 1);
  EXPECT_EQ(sums[SoftmaxCrossEntropy::top5_count], 2);
  EXPECT_NEAR(probabilities[3], 1.0 / 7, 1e-15);
  EXPECT_NEAR(probabilities[14], 1.0 / 3, 1e-12);
}

/// Scalars and moments without rounding errors: weight_decay turns the gradient 1.75 at w = 1 into 2.
constexpr double kRate = 0.5;
constexpr OptimizerStep::Scalars kScalars{.beta1 = OptimizerStep::Decay(0.5),
                                          .beta2 = OptimizerStep::Decay(0.75),
                                          .eps = 1.0F,
                                          .weight_decay = 0.25F,
                                          .momentum = 0.75F};

TEST(Reference, sgd_values) {
  const double g = 1.75;
  double w = 1;
  optimizer_step<double>({.size = 1, .rule = OptimizerStep::Rule::sgd}, kScalars, kRate, &g, &w, {});
  EXPECT_EQ(w, 0.0);  // 1 - 0.5 * 2
}

TEST(Reference, momentum_values) {
  const double g = 1.75;
  double w = 1, m = 4;
  optimizer_step<double>({.size = 1, .rule = OptimizerStep::Rule::momentum}, kScalars, kRate, &g, &w, {&m, nullptr, nullptr});
  EXPECT_EQ(m, 5.0);   // 0.75 * 4 + 2
  EXPECT_EQ(w, -1.5);  // 1 - 0.5 * 5
}

TEST(Reference, nesterov_values) {
  const double g = 1.75;
  double w = 1, m = 4;
  optimizer_step<double>({.size = 1, .rule = OptimizerStep::Rule::nesterov}, kScalars, kRate, &g, &w, {&m, nullptr, nullptr});
  EXPECT_EQ(m, 5.0);
  EXPECT_EQ(w, -1.875);  // 1 - 0.5 * (2 + 0.75 * 5)
}

TEST(Reference, adam_values) {
  const double g = 1.75;
  double w = 1, m = 1, v = 4;
  optimizer_step<double>({.size = 1, .rule = OptimizerStep::Rule::adam}, kScalars, kRate, &g, &w, {&m, &v, nullptr});
  EXPECT_EQ(m, 1.5);   // 0.5 * 1 + 0.5 * 2
  EXPECT_EQ(v, 4.0);   // 0.75 * 4 + 0.25 * 2 * 2
  EXPECT_EQ(w, 0.75);  // 1 - 0.5 * 1.5 / (2 + 1)
}

TEST(Reference, amsgrad_values) {
  const Vector g{1.75, 1.75};
  Vector w{1, 1}, m{1, 1}, v{4, 4}, vh{9, 1};  // the first keeps its old maximum, the second takes the new v
  optimizer_step<double>({.size = 2, .rule = OptimizerStep::Rule::amsgrad}, kScalars, kRate, g.data(), w.data(),
                         {m.data(), v.data(), vh.data()});
  EXPECT_EQ(m, (Vector{1.5, 1.5}));
  EXPECT_EQ(v, (Vector{4, 4}));
  EXPECT_EQ(vh, (Vector{9, 4}));
  EXPECT_EQ(w, (Vector{0.8125, 0.75}));  // 1 - 0.5 * 1.5 / (3 + 1), 1 - 0.5 * 1.5 / (2 + 1)
}

TEST(Reference, running_average_values) {
  const Vector batch{4, -4};
  Vector running{2, 0};
  running_average({.size = 2}, 0.25, batch.data(), running.data());
  EXPECT_EQ(running, (Vector{2.5, -1}));
}

TEST(Reference, add_accumulates) {
  const Linear::Problem p{.n = 1, .c = 1, .k = 1};
  const double x = 3, dy = 5;
  double dw = 100, db = 10;
  linear_backward_weight(p, &x, &dy, &dw, &db, Write::add);
  EXPECT_EQ(dw, 115);
  EXPECT_EQ(db, 15);
}

}  // namespace
}  // namespace apam::kernels::reference
