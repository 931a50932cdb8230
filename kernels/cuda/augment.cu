// Augmentation (kernels/ops/augment.h): a block computes a part of one image, so that its placement is drawn once per thread
// and not once per value. Threads are neighbours along a row of values; the bytes that they read are too, in reverse order if
// the image is mirrored.
#include "kernels/cuda/divisor.h"
#include "kernels/cuda/elements.h"
#include "kernels/cuda/make.h"
#include "kernels/cuda/operands.h"
#include "kernels/runtime/philox.h"
#include "kernels/runtime/placement.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {
namespace {

template <class T>
struct Rows {
  struct Args {
    int h, w, c;
    Divisor channels, width;
    int padding;
    bool flip, mean_image;
    const std::uint8_t* bytes;         // (M, H, W, C)
    const std::int32_t* image_labels;  // (M)
    const float *subtract, *divide;    // (C) or (H, W, C); (C)
    const std::int32_t* images;        // (N)
    const std::int64_t* epoch;         // (1)
    std::uint64_t seed;
    T* y;                  // (N, H, W, C)
    std::int32_t* labels;  // (N)
  };
  static constexpr int threads = 256, min_blocks = 4, kValues = 4;  // per thread
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const int image = args.images[block().x], values = args.h * args.w * args.c;
    if (block().y == 0 && thread() == 0) args.labels[block().x] = args.image_labels[image];
    Placement place{args.padding, args.padding, false};
    if (args.padding > 0 || args.flip) {
      const Random random(args.seed, Purpose::augmentation, static_cast<std::uint64_t>(args.epoch[0]));
      place = placement_of(random.words(static_cast<std::uint32_t>(image)), args.padding, args.flip);
    }
    const std::uint8_t* from = args.bytes + std::int64_t{image} * values;
    T* to = args.y + std::int64_t{block().x} * values;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int value = (block().y * kValues + i) * threads + thread();
      if (value < values) to[value] = Rounded<T>::of(normalised(args, place, from, value));
    }
  }

 private:
  DEVICE static float normalised(const Args& args, const Placement& place, const std::uint8_t* from, int value) {
    const int pixel = args.channels.quotient(value), channel = args.channels.remainder(value, pixel);
    const int row = args.width.quotient(pixel), column = args.width.remainder(pixel, row);
    const int h = row + place.dy - args.padding;
    const int w = (place.flip ? args.w - 1 - column : column) + place.dx - args.padding;
    const bool inside =
        static_cast<unsigned>(h) < static_cast<unsigned>(args.h) && static_cast<unsigned>(w) < static_cast<unsigned>(args.w);
    const int source = (h * args.w + w) * args.c + channel;
    float result = inside ? static_cast<float>(from[source]) / 255.0F : 0.0F;
    if (!args.mean_image) result -= args.subtract[channel];
    if (args.mean_image && inside) result -= args.subtract[source];
    return result / args.divide[channel];
  }
};

template <class T>
class ForwardKernel final : public Augment::Kernel {
 public:
  explicit ForwardKernel(const Augment::Problem& problem) : problem_(problem) {
    require<ShapeError>(problem.image() < std::size_t{1} << 31U, "cuda: augment: {} values of an image, at most 2^31 - 1",
                        problem.image());
  }
  void forward(Exec& exec, const Augment::Source& source, const Augment::Selection& selection, Out y,
               Span<std::int32_t> labels) override {
    const Augment::Problem& p = problem_;
    launch<Rows<T>>(exec, {p.n, blocks_for(static_cast<std::int64_t>(p.image()), Rows<T>::threads * Rows<T>::kValues)},
                    {p.h, p.w, p.c, Divisor(p.c), Divisor(p.w), p.padding, p.flip, p.mean_image, source.bytes.data(),
                     source.labels.data(), source.subtract.data(), source.divide.data(), selection.images.data(),
                     selection.epoch.data(), selection.seed, elements<T>(y, "augment: y"), labels.data()});
  }

 private:
  Augment::Problem problem_;
};

}  // namespace

std::unique_ptr<Augment::Kernel> make(Exec&, const Augment::Problem& problem, Augment::Pass pass, Target) {
  return with_storage(problem.type, [&]<class T>() { return make_by_pass<Augment, ForwardKernel<T>>(pass, problem); });
}

}  // namespace apam::kernels::cuda
