#include "kernels/cpu/narrow_weight.h"

#include <algorithm>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kMaxColumns = 32;    // with more, packing dy costs less than reading it once per tile
constexpr std::int64_t kStripPixels = 128;  // with 64 channels, 32 KiB of dy; read once per tile of columns
constexpr std::int64_t kMaxStripChunks = 32;

}  // namespace

bool NarrowWeight::supports(const Conv2d::Problem& problem, const Isa& isa) {
  return std::int64_t{problem.r} * problem.s * problem.c <= kMaxColumns && problem.k % isa.width == 0;
}

NarrowWeight::NarrowWeight(Exec& exec, const Conv2d::Problem& problem, const Isa& isa)
    : problem_(problem),
      isa_(isa),
      columns_(std::int64_t{problem.r} * problem.s * problem.c),
      line_((problem.w + 2 * std::int64_t{problem.padding}) * problem.c),
      strip_lines_(static_cast<int>(
          std::clamp<std::int64_t>(kStripPixels / std::max(1, problem.out_w()), 1, std::max(1, problem.out_h())))),
      strips_(ceil_div(problem.out_h(), strip_lines_)),
      chunks_(std::clamp<std::int64_t>(problem.n * strips_, 1, kMaxStripChunks)),
      sums_(workspace_.add<float>(chunks_ * columns_ * problem.k)) {
  const std::int64_t lines = (strip_lines_ - 1) * std::int64_t{problem.stride} + problem.r;
  for (int thread = 0; thread < exec.threads(); ++thread) {
    lines_.push_back(workspace_.add<float>(lines * line_));
    starts_.push_back(workspace_.add<const float*>(round_up(columns_, isa.gemm.window_rows)));
  }
  exec.reserve_workspace(workspace_.bytes());
}

void NarrowWeight::run(Exec& exec, const float* x, const float* dy, bool accumulate, float* dw) const {
  const Operands operands{x, dy, exec.workspace(workspace_.bytes())};
  dynamic_loop(exec.threads(), chunks_, [&](std::int64_t chunk, int thread) { sum_chunk(chunk, operands, thread); });
  float* sums = sums_.in(operands.workspace);
  const std::int64_t size = columns_ * problem_.k;
  for (std::int64_t chunk = 1; chunk < chunks_; ++chunk) isa_.float32.pointwise.add(sums, sums + chunk * size, sums, size);
  for (std::int64_t k = 0; k < problem_.k; ++k, dw += columns_) {
    for (std::int64_t j = 0; j < columns_; ++j) {
      const float sum = sums[j * problem_.k + k];
      dw[j] = accumulate ? dw[j] + sum : sum;
    }
  }
}

void NarrowWeight::sum_chunk(std::int64_t chunk, const Operands& operands, int thread) const {
  const GemmKernels& gemm = isa_.gemm;
  const std::int64_t k = problem_.k, run = std::int64_t{problem_.s} * problem_.c;
  float* lines = lines_[thread].in(operands.workspace);
  const float** starts = starts_[thread].in(operands.workspace);
  for (std::int64_t j = 0; j < round_up(columns_, gemm.window_rows); ++j) {
    starts[j] = j < columns_ ? lines + j / run * line_ + j % run : lines;  // padded columns are discarded
  }
  float* sum = sums_.in(operands.workspace) + chunk * columns_ * k;
  const Range strips = split(problem_.n * strips_, chunk, chunks_);
  for (std::int64_t strip = strips.begin; strip < strips.end; ++strip) {
    const std::int64_t image = strip / strips_;
    const int first = static_cast<int>(strip % strips_) * strip_lines_;
    const int count = std::min(strip_lines_, problem_.out_h() - first);
    copy_lines(operands.x + image * problem_.h * problem_.w * problem_.c, first, count, lines);
    const float* dy = operands.dy + (image * problem_.out_h() + first) * problem_.out_w() * k;
    const WindowTiles window{starts,
                             static_cast<int>(columns_),
                             count,
                             problem_.out_w(),
                             problem_.stride * line_,
                             std::int64_t{problem_.stride} * problem_.c,
                             k,
                             sum,
                             k};
    const std::int64_t panel = round_up(ceil_div(k, ceil_div(k, gemm.window_panel)), isa_.width);
    for (std::int64_t column = 0; column < k; column += panel) {
      const auto columns = static_cast<int>(std::min(panel, k - column));
      gemm.window_product(window, {column, columns, strip > strips.begin}, dy + column);
    }
  }
}

/// Copies the input lines of output lines first .. first + count - 1, with zeros outside the image.
void NarrowWeight::copy_lines(const float* image, int first, int count, float* to) const {
  const std::int64_t floats = std::int64_t{problem_.w} * problem_.c, side = std::int64_t{problem_.padding} * problem_.c;
  const int begin = first * problem_.stride - problem_.padding;
  const int end = begin + (count - 1) * problem_.stride + problem_.r;
  for (int i = begin; i < end; ++i, to += line_) {
    if (i < 0 || i >= problem_.h) {
      std::fill_n(to, line_, 0.0F);
      continue;
    }
    std::fill_n(to, side, 0.0F);
    std::copy_n(image + i * floats, floats, to + side);
    std::fill_n(to + side + floats, side, 0.0F);
  }
}

}  // namespace apam::kernels::cpu
