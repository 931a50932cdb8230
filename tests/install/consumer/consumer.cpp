// Trains a custom net for a few steps on one random batch. The loss must fall.
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include "engine/layers/layers.h"
#include "engine/step.h"
#include "kernels/runtime/philox.h"
#include "nets/net.h"

namespace {

using namespace apam;

class SmallNet final : public nets::Net {
 public:
  explicit SmallNet(int classes)
      : Net(classes),
        conv_(layout_, "conv", {.in_channels = 3, .out_channels = 8, .kernel = 3, .stride = 2, .padding = 1}),
        norm_(layout_, "norm", 8),
        linear_(layout_, "linear", 8, classes) {}

  engine::Var forward(const engine::Var& images) const override {
    return linear_(engine::avg_pool(norm_.relu(conv_(images)), 16));
  }

 private:
  engine::Conv2d conv_;
  engine::BatchNorm norm_;
  engine::Linear linear_;
};

}  // namespace

int main() {
  constexpr int kRows = 8;
  constexpr int kClasses = 4;
  Exec exec;
  const SmallNet net(kClasses);
  const engine::ParameterArena arena(exec.device(), net.layout());
  arena.initialize(1);
  engine::TrainingStep step(exec, arena, nets::forward_of(net), {kRows, 32, 32, 3}, kClasses);
  engine::Updater updater(exec, arena, {.learning_rate = 0.01});

  std::vector<float> images(kRows * 32 * 32 * 3);  // (N, H, W, C)
  std::vector<std::int32_t> labels(kRows);         // (N)
  const Random random(1, Purpose::synthetic_data);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = random.normal(i);
  for (int i = 0; i < kRows; ++i) labels[static_cast<std::size_t>(i)] = i % kClasses;

  double first = 0;
  double last = 0;
  for (int i = 0; i < 30; ++i) {
    last = step.score(step.run(std::span(images), std::span(labels), updater)).mean_loss();
    if (i == 0) first = last;
  }
  std::printf("loss %.4f, after 30 steps %.4f\n", first, last);
  return last < 0.9 * first ? 0 : 1;
}
