#include "kernels/cudnn/trial.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cudnn/steps.h"
#include "kernels/runtime/dtype.h"

namespace apam::kernels::cudnn {
namespace {

using Pass = Conv2d::Pass;

constexpr float kFactor = 1 + 0x1p-7F;
constexpr float kProduct = 1 + 0x1p-6F + 0x1p-14F;  // kFactor^2
constexpr float kOldValue = -(1 + 0x1p-6F);

/// A factor of 2^-30, 1 or 2^30, which differs from those of the pixels above, below, left and right.
float scale(int i, int j) {
  static constexpr std::array<float, 3> kScales{0x1p-30F, 1, 0x1p30F};
  return kScales.at(static_cast<std::size_t>(i + 2 * j) % 3);
}

/// What a convolution multiplies, and its products: 0, or kProduct times a scale.
struct Sample {
  std::vector<float> x, w, y;
};

/// Calls visit(n, i, j, begin) for each pixel of (n, h, w, channels), where `begin` is the index of its first channel.
template <class Visit>
void for_pixels(int images, int height, int width, int channels, Visit visit) {
  std::size_t begin = 0;
  for (int n = 0; n < images; ++n) {
    for (int i = 0; i < height; ++i) {
      for (int j = 0; j < width; ++j, begin += static_cast<std::size_t>(channels)) visit(n, i, j, begin);
    }
  }
}

/// The tap whose weights are not zero: the one that meets the most pixels.
struct Tap {
  explicit Tap(const Conv2d::Problem& p) : r(std::min(p.padding, p.r - 1)), s(std::min(p.padding, p.s - 1)) {}
  int r, s;
};

bool inside(const Conv2d::Problem& p, int i, int j) { return i >= 0 && i < p.h && j >= 0 && j < p.w; }

/// One tap and the last channel.
Sample forward(const Conv2d::Problem& p) {
  Sample sample{std::vector<float>(p.x_size()), std::vector<float>(p.w_size()), std::vector<float>(p.y_size())};
  const Tap tap(p);
  for_pixels(p.n, p.h, p.w, p.c, [&](int, int i, int j, std::size_t begin) {
    sample.x[begin + static_cast<std::size_t>(p.c) - 1] = kFactor * scale(i, j);
  });
  for_pixels(p.k, p.r, p.s, p.c, [&](int, int r, int s, std::size_t begin) {
    if (r == tap.r && s == tap.s) sample.w[begin + static_cast<std::size_t>(p.c) - 1] = kFactor;
  });
  for_pixels(p.n, p.out_h(), p.out_w(), p.k, [&](int, int i, int j, std::size_t begin) {
    const int row = i * p.stride - p.padding + tap.r, column = j * p.stride - p.padding + tap.s;
    if (inside(p, row, column)) std::fill_n(sample.y.begin() + static_cast<long>(begin), p.k, kProduct * scale(row, column));
  });
  return sample;
}

/// One tap and the last filter.
Sample backward_input(const Conv2d::Problem& p) {
  Sample sample{std::vector<float>(p.x_size()), std::vector<float>(p.w_size()), std::vector<float>(p.y_size())};
  const Tap tap(p);
  for_pixels(p.n, p.out_h(), p.out_w(), p.k, [&](int, int i, int j, std::size_t begin) {
    sample.y[begin + static_cast<std::size_t>(p.k) - 1] = kFactor * scale(i, j);
  });
  for_pixels(p.k, p.r, p.s, p.c, [&](int k, int r, int s, std::size_t begin) {
    if (k == p.k - 1 && r == tap.r && s == tap.s) std::fill_n(sample.w.begin() + static_cast<long>(begin), p.c, kFactor);
  });
  for_pixels(p.n, p.h, p.w, p.c, [&](int, int i, int j, std::size_t begin) {
    const int row = i + p.padding - tap.r, column = j + p.padding - tap.s;
    if (row < 0 || column < 0 || row % p.stride != 0 || column % p.stride != 0) return;
    const int out_i = row / p.stride, out_j = column / p.stride;
    if (out_i >= p.out_h() || out_j >= p.out_w()) return;
    std::fill_n(sample.x.begin() + static_cast<long>(begin), p.c, kProduct * scale(out_i, out_j));
  });
  return sample;
}

/// One pixel of dy, in the middle of the last image.
Sample backward_weight(const Conv2d::Problem& p) {
  Sample sample{std::vector<float>(p.x_size()), std::vector<float>(p.w_size()), std::vector<float>(p.y_size())};
  const int out_i = p.out_h() / 2, out_j = p.out_w() / 2;
  for_pixels(p.n, p.out_h(), p.out_w(), p.k, [&](int n, int i, int j, std::size_t begin) {
    if (n == p.n - 1 && i == out_i && j == out_j) {
      std::fill_n(sample.y.begin() + static_cast<long>(begin), p.k, kFactor);
    }
  });
  for_pixels(p.n, p.h, p.w, p.c, [&](int, int i, int j, std::size_t begin) {
    std::fill_n(sample.x.begin() + static_cast<long>(begin), p.c, kFactor * scale(i, j));
  });
  for_pixels(p.k, p.r, p.s, p.c, [&](int, int r, int s, std::size_t begin) {
    const int row = out_i * p.stride - p.padding + r, column = out_j * p.stride - p.padding + s;
    if (inside(p, row, column)) std::fill_n(sample.w.begin() + static_cast<long>(begin), p.c, kProduct * scale(row, column));
  });
  return sample;
}

std::vector<std::byte> in_memory(const std::vector<float>& values, DType type) {
  std::vector<std::byte> bytes(values.size() * size_of(type));
  if (type == DType::float32) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  std::byte* to = bytes.data();
  for (const float value : values) {
    const BFloat16 rounded(value);
    std::memcpy(to, &rounded, sizeof rounded);
    to += sizeof rounded;
  }
  return bytes;
}

template <class T>
bool equal(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  for (std::size_t at = 0; at < a.size(); at += sizeof(T)) {
    T left, right;
    std::memcpy(&left, a.data() + at, sizeof(T));
    std::memcpy(&right, b.data() + at, sizeof(T));
    if (static_cast<float>(left) != static_cast<float>(right)) return false;  // NaN is equal to nothing
  }
  return true;
}

}  // namespace

bool Trial::right(const std::vector<std::byte>& actual) const {
  if (actual == expected) return true;
  if (actual.size() != expected.size()) return false;
  return type == DType::float32 ? equal<float>(actual, expected) : equal<BFloat16>(actual, expected);
}

Trial trial(const Conv2d::Problem& problem, Pass pass, const TrialOf& of) {
  Conv2d::Problem p = problem;
  p.n = std::min(p.n, 2);
  Sample sample = pass == Pass::forward ? forward(p) : pass == Pass::backward_input ? backward_input(p) : backward_weight(p);
  std::array<std::vector<float>*, 3> all{&sample.x, &sample.w, &sample.y};  // in the order of their ids
  const std::array<std::size_t, 3> sizes{problem.x_size(), problem.w_size(), problem.y_size()};
  Trial made;
  made.result = pass == Pass::forward ? conv2d::kY : pass == Pass::backward_input ? conv2d::kX : conv2d::kW;
  made.type = of.result;
  std::vector<float>& result = *all.at(static_cast<std::size_t>(made.result));
  std::vector<float> old(result.size());
  if (of.old != TrialOf::Old::none) {
    for (std::size_t e = 0; e < result.size(); ++e) {
      old[e] = kOldValue * (result[e] == 0 ? 1 : result[e] / kProduct);
      result[e] += old[e];
    }
  }
  made.expected = in_memory(result, of.result);
  const auto add = [&](int id, const std::vector<float>& values, std::size_t size, DType type) {
    made.operands.push_back({id, in_memory(values, type), size * size_of(type)});
  };
  const bool separate = of.old == TrialOf::Old::separate;
  const std::size_t result_size = sizes.at(static_cast<std::size_t>(made.result));
  if (separate) add(conv2d::kOld, old, result_size, of.result);
  add(made.result, separate ? std::vector<float>(old.size()) : old, result_size, of.result);
  for (std::size_t id = 0; id < all.size(); ++id) {
    if (static_cast<int>(id) != made.result) add(static_cast<int>(id), *all.at(id), sizes.at(id), of.operands);
  }
  return made;
}

}  // namespace apam::kernels::cudnn
