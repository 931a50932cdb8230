// The gradient of a small residual net against finite differences of its loss. Tests how the tape routes and accumulates
// gradients; the kernels' arithmetic is tested in double with the kernels.
//
// Along a direction v, the error of the central difference D(h) = (L(w + h v) - L(w - h v)) / 2h is h^2/6 L''', plus the
// rounding of L (about 2, in float32) divided by h. The first term is (D(2h) - D(h)) / 3. The tolerance is |D(2h) - D(h)| + 16
// eps L / h. The net has no ReLU, so the loss is smooth.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "engine/layers/layers.h"
#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Values = std::vector<float>;

constexpr int kCheckedRows = 3;
constexpr double kStep = 1.0 / 64;

class SmallNet {
 public:
  explicit SmallNet(std::string_view kernels) : model_(layout_, kernels, 2) {
    model_.arena.initialize(11);
    // Move the batch norms' gamma and beta away from 1 and 0.
    const auto scales = normals(model_.arena.weights().size(), 3);
    for (std::size_t i = 0; i < layout_.parameters().size(); ++i) {
      if (layout_.parameters()[i].shape.rank() > 1) continue;
      const auto values = model_.arena.weight({static_cast<int>(i)}).data.host();
      for (std::size_t j = 0; j < values.size(); ++j) values[j] += 0.3F * scales[i * 16 + j];
    }
  }

  double loss(bool backward) {
    Tape& tape = model_.tape;
    tape.begin(Mode::training);
    image_ = tape.input(tensor_over({kCheckedRows, 6, 6, 3}, pixels_), true);
    const Var x = bn1_(conv1_(image_));                     // (3, 6, 6, 4)
    const Var y = bn2_(conv2_(add(x, scale(x, 0.5F))));     // (3, 3, 3, 8)
    const Var shortcut = bn3_(shortcut_(x));                // (3, 3, 3, 8)
    const Var z = add(conv3_(add(y, shortcut)), shortcut);  // (3, 3, 3, 8)
    const auto score = model_.loss(linear_(avg_pool(z, 3)), labels_over(labels_), 1.0F / kCheckedRows);
    if (backward) tape.backward();
    return score.loss_sum / kCheckedRows;
  }

  const ParameterLayout& layout() const { return layout_; }
  const ParameterArena& arena() const { return model_.arena; }
  std::span<float> pixels() { return pixels_; }
  Values image_gradient() const { return values_of(model_.tape.gradient(image_)); }

 private:
  ParameterLayout layout_;
  Conv2d conv1_{layout_, "conv1", {.in_channels = 3, .out_channels = 4, .kernel = 3, .padding = 1}};
  BatchNorm bn1_{layout_, "bn1", 4};
  Conv2d conv2_{layout_, "conv2", {.in_channels = 4, .out_channels = 8, .kernel = 3, .stride = 2, .padding = 1}};
  BatchNorm bn2_{layout_, "bn2", 8};
  Conv2d shortcut_{layout_, "shortcut", {.in_channels = 4, .out_channels = 8, .kernel = 1, .stride = 2}};
  BatchNorm bn3_{layout_, "bn3", 8, BatchNorm::Track::nothing};
  Conv2d conv3_{layout_, "conv3", {.in_channels = 8, .out_channels = 8, .kernel = 3, .padding = 1}};
  Linear linear_{layout_, "linear", 8, 5};
  Model model_;
  Values pixels_ = normals(std::size_t{kCheckedRows} * 6 * 6 * 3, 1);
  std::array<std::int32_t, kCheckedRows> labels_{0, 3, 4};
  Var image_;
};

/// Compares the derivative by `values` along `gradient` with finite differences. Restores `values`.
void check_along_gradient(SmallNet& net, std::span<float> values, const std::vector<float>& gradient, const std::string& name) {
  double squares = 0;
  for (const float g : gradient) squares += double{g} * g;
  const double norm = std::sqrt(squares);
  ASSERT_GT(norm, 1e-3) << name << ": gradient too small for a meaningful test";
  const std::vector<float> start(values.begin(), values.end());
  const auto difference = [&](double step) {
    const auto moved = [&](double distance) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(start[i] + distance * gradient[i] / norm);
      return net.loss(false);
    };
    const double up = moved(step);
    const double down = moved(-step);
    std::copy(start.begin(), start.end(), values.begin());
    return (up - down) / (2 * step);
  };
  const double fine = difference(kStep);
  const double coarse = difference(2 * kStep);
  const double tolerance = std::abs(coarse - fine) + 16 * std::numeric_limits<float>::epsilon() * 2 / kStep;
  EXPECT_LT(tolerance, 0.05 * norm) << name << ": tolerance too large for a meaningful test";
  EXPECT_NEAR(fine, norm, tolerance) << name;
}

class SmallNetGradient : public testing::TestWithParam<std::string_view> {};
INSTANTIATE_TEST_SUITE_P(Kernels, SmallNetGradient, testing::Values("reference", "native", "auto"),
                         [](const testing::TestParamInfo<std::string_view>& test) { return std::string(test.param); });

TEST_P(SmallNetGradient, matches_finite_differences) {
  SmallNet net(GetParam());
  net.loss(true);
  const auto image_gradient = net.image_gradient();
  std::vector<std::vector<float>> gradients;
  for (std::size_t i = 0; i < net.layout().parameters().size(); ++i) {
    gradients.push_back(values_of(net.arena().gradient({static_cast<int>(i)}).data));
  }
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    check_along_gradient(net, net.arena().weight({static_cast<int>(i)}).data.host(), gradients[i],
                         net.layout().parameters()[i].name);
  }
  check_along_gradient(net, net.pixels(), image_gradient, "the image");
}

}  // namespace
}  // namespace apam::engine
