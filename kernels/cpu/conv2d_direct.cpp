#include "kernels/cpu/conv2d_direct.h"

namespace apam::kernels::cpu {
namespace {

constexpr int kNarrow = 8;  // channels; with fewer, one-pixel taps cost more in pointers than in arithmetic

/// The taps of a forward pass, one per filter position: output pixel p reads x at p * stride + r - padding.
std::vector<Tap> forward_taps(const Conv2d::Problem& problem) {
  std::vector<Tap> taps;
  for (int r = 0; r < problem.r; ++r) {
    for (int s = 0; s < problem.s; ++s) {
      taps.push_back({r - problem.padding, s - problem.padding, (std::int64_t{r} * problem.s + s) * problem.c});
    }
  }
  return taps;
}

/// One dimension of a phase of dx: its pixels, and the filter positions that reach them.
struct PhaseAxis {
  int pixels;  // i = phase + stride * u for u in 0 .. pixels-1
  struct Position {
    int filter;  // r
    int offset;  // reads dy at p = u + offset
  };
  std::vector<Position> positions;
};

/// i = p * stride + r - padding, solved for p: needs (i + padding - r) divisible by stride.
PhaseAxis phase_axis(int phase, int size, int filter, int stride, int padding) {
  PhaseAxis axis{phase < size ? (size - phase - 1) / stride + 1 : 0, {}};
  for (int r = 0; r < filter; ++r) {
    const int distance = phase + padding - r;
    if (distance % stride == 0) axis.positions.push_back({r, distance / stride});
  }
  return axis;
}

}  // namespace

GatherShape forward_shape(const Conv2d::Problem& problem) {
  const int p = problem.out_h(), q = problem.out_w();
  std::vector<Tap> taps = forward_taps(problem);
  const int span = problem.c < kNarrow ? problem.s : 1;
  if (span > 1) std::erase_if(taps, [&](const Tap& tap) { return tap.dw != -problem.padding; });  // one per filter row
  GatherShape shape{.images = problem.n,
                    .in = {problem.h, problem.w, problem.c, problem.stride},
                    .span = span,
                    .columns = problem.k,
                    .out_image = std::int64_t{p} * q * problem.k,
                    .channel_stride = 1,
                    .column_stride = std::int64_t{problem.r} * problem.s * problem.c,
                    .phases = {}};
  shape.phases.push_back({p, q, 0, std::int64_t{q} * problem.k, problem.k, std::move(taps)});
  return shape;
}

GatherShape backward_input_shape(const Conv2d::Problem& problem) {
  GatherShape shape{.images = problem.n,
                    .in = {problem.out_h(), problem.out_w(), problem.k, 1},
                    .span = 1,
                    .columns = problem.c,
                    .out_image = std::int64_t{problem.h} * problem.w * problem.c,
                    .channel_stride = std::int64_t{problem.r} * problem.s * problem.c,
                    .column_stride = 1,
                    .phases = {}};
  const std::int64_t row = std::int64_t{problem.w} * problem.c, column = problem.c;
  for (int a = 0; a < problem.stride; ++a) {
    const PhaseAxis vertical = phase_axis(a, problem.h, problem.r, problem.stride, problem.padding);
    for (int b = 0; b < problem.stride; ++b) {
      const PhaseAxis horizontal = phase_axis(b, problem.w, problem.s, problem.stride, problem.padding);
      Phase phase{vertical.pixels, horizontal.pixels, a * row + b * column, problem.stride * row, problem.stride * column, {}};
      for (const auto& v : vertical.positions) {
        for (const auto& h : horizontal.positions) {
          phase.taps.push_back({v.offset, h.offset, (std::int64_t{v.filter} * problem.s + h.filter) * problem.c});
        }
      }
      shape.phases.push_back(std::move(phase));
    }
  }
  return shape;
}

WeightShape backward_weight_shape(const Conv2d::Problem& problem) {
  return {.images = problem.n,
          .in = {problem.h, problem.w, problem.c, problem.stride},
          .grid_h = problem.out_h(),
          .grid_w = problem.out_w(),
          .k = problem.k,
          .taps = forward_taps(problem)};
}

}  // namespace apam::kernels::cpu
