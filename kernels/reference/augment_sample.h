// Sample operands of augmentation: seven images of random bytes, the mean and deviation of natural images.
#pragma once

#include "kernels/reference/augment.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {

template <>
struct Operands<Augment> {
  using Pass = Augment::Pass;
  static constexpr int kImages = 7;

  Operands(Exec& exec, const Augment::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        store(exec, seed, std::move(memory), p.type),
        pixels(store.bytes(kImages * p.image())),
        image_labels(store.labels(kImages, 10)),
        subtract(store.normal(p.mean_image ? p.image() : static_cast<std::size_t>(p.c), 0.1, 0.5)),
        divide(store.normal(static_cast<std::size_t>(p.c), 0.01, 0.25)),
        images(store.labels(static_cast<std::size_t>(p.n), kImages)),
        epoch(store.labels(2, 1)),  // the words of 0
        y(store.unwritten_activations(p.size())),
        label_memory(exec.device(), static_cast<std::size_t>(p.n) * sizeof(std::int32_t)) {}

  Augment::Source source() const { return {pixels, image_labels, subtract, divide}; }
  Augment::Selection selection() const {
    return {images, {reinterpret_cast<const std::int64_t*>(epoch.data()), 1, epoch.device()}, kSeed};
  }
  Span<std::int32_t> labels() const { return label_memory.as<std::int32_t>(); }

  void run(Exec& exec, Augment::Kernel& kernel, Pass, Write) const { kernel.forward(exec, source(), selection(), y, labels()); }

  static constexpr std::uint64_t kSeed = 11;
  Augment::Problem problem;
  OperandStore store;
  ConstSpan<std::uint8_t> pixels;  // (7, H, W, C)
  Labels image_labels;             // (7)
  Span<float> subtract, divide;    // (C) or (H, W, C); (C)
  Labels images;                   // (N), in 0 .. 6
  Labels epoch;                    // (2)
  Out y;                           // (N, H, W, C)
  Buffer label_memory;             // (N)
};

}  // namespace apam::kernels
