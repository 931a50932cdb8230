// A net, kernels and data for trainings that take a moment on the emulator.
#pragma once

#include <memory>
#include <string_view>

#include "data/dataset.h"
#include "engine/layers/layers.h"
#include "kernels/runtime/exec.h"
#include "nets/net.h"

namespace apam::support {

inline constexpr int kClasses = 4, kRows = 5, kSide = 6;

/// All kinds of operations of the nets, on small images.
class SmallNet : public nets::Net {
 public:
  SmallNet()
      : Net(kClasses),
        conv1_(layout_, "conv1", {.in_channels = 3, .out_channels = 8, .kernel = 3, .padding = 1}),
        bn1_(layout_, "bn1", 8),
        conv2_(layout_, "conv2", {.in_channels = 8, .out_channels = 8, .kernel = 3, .padding = 1}),
        bn2_(layout_, "bn2", 8),
        linear_(layout_, "linear", 8 * 4, kClasses) {}
  engine::Var forward(const engine::Var& images) const override {
    const engine::Var x = bn1_.relu(conv1_(images));
    const engine::Var y = bn2_.add_relu(conv2_(x), x);
    return linear_(engine::avg_pool(engine::scale(engine::relu(engine::add(x, y)), 0.5F), kSide / 2));
  }

 private:
  engine::Conv2d conv1_;
  engine::BatchNorm bn1_;
  engine::Conv2d conv2_;
  engine::BatchNorm bn2_;
  engine::Linear linear_;
};

/// The same kernels, on the GPU or on the CPU.
inline ExecOptions options_for(std::string_view device, DType activations) {
  const Device parsed = parse_device(device);
  return {.device = parsed,
          .kernels = KernelSelection::parse(parsed.kind == DeviceKind::cpu ? "emulated" : "native"),
          .activations = activations};
}

/// In three batches, of which the last one is smaller.
inline std::shared_ptr<const data::Dataset> small_data() {
  data::DatasetOptions options{.name = "synthetic"};
  options.synthetic = {.shape = {kSide, kSide, 3}, .classes = kClasses, .train_images = 3 * kRows - 2, .test_images = 7};
  return data::open_dataset(options);
}

}  // namespace apam::support
