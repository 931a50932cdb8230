// Runs convolutions in products of bfloat16 on fenced operands, for bf16_test.cpp and amx_test.cpp.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>
#include <vector>

#include "kernels/cpu/bf16/bf16_product.h"
#include "kernels/cpu/bf16/bf16_weight.h"
#include "kernels/cpu/isa.h"
#include "kernels/runtime/exec.h"
#include "kernels/runtime/philox.h"
#include "tests/kernels/cpu/trapped_amx.h"

namespace apam::kernels::cpu::bf16_case {

using Pass = Conv2d::Pass;
using Problem = Conv2d::Problem;

/// At which end an operand touches a page that cannot be accessed. The rest of its pages is NaN, as are the fences of a
/// bfloat16 and of a float.
enum class Fence { before, after };

template <class T>
class Fenced {
 public:
  Fenced(const std::vector<T>& values, Fence fence) : bytes_(values.size() * sizeof(T)) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    inside_ = std::max(page, (bytes_ + page - 1) / page * page);
    mapped_ = inside_ + 2 * page;
    base_ = static_cast<std::byte*>(::mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || ::mprotect(base_ + page, inside_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    first_ = base_ + page;
    std::memset(first_, kNaN, inside_);
    start_ = fence == Fence::before ? first_ : first_ + (inside_ - bytes_);
    std::memcpy(start_, values.data(), bytes_);
  }
  ~Fenced() { ::munmap(base_, mapped_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  T* data() { return reinterpret_cast<T*>(start_); }
  std::vector<T> values() const {
    std::vector<T> all(bytes_ / sizeof(T));
    std::memcpy(all.data(), start_, bytes_);
    return all;
  }
  bool intact() const {
    const auto is_fence = [](std::byte value) { return value == std::byte{kNaN}; };
    return std::all_of(first_, start_, is_fence) && std::all_of(start_ + bytes_, first_ + inside_, is_fence);
  }

 private:
  static constexpr unsigned char kNaN = 0xFF;

  std::size_t bytes_, inside_ = 0, mapped_ = 0;
  std::byte *base_ = nullptr, *first_ = nullptr, *start_ = nullptr;
};

struct Operands {
  std::vector<BFloat16> x, dy;
  std::vector<float> w;

  explicit Operands(const Problem& problem) {
    fill(x, problem.x_size(), 0, 1);
    fill(dy, problem.y_size(), 1, 1);
    fill(w, problem.w_size(), 2, 1 / std::sqrt(double(problem.r) * problem.s * problem.c));
  }

  template <class T>
  static void fill(std::vector<T>& values, std::size_t size, std::uint64_t stream, double deviation) {
    const Random random(5, Purpose::sample, stream);
    values.reserve(size);
    for (std::size_t i = 0; i < size; ++i) values.emplace_back(static_cast<float>(deviation * random.normal(i)));
  }
};

struct How {
  const TileKernels16& kernels;
  int threads = 1;
  Fence fence = Fence::after;
};

/// A kernel must not use what earlier kernels left in the workspace.
inline void spoil_workspace(Exec& exec) {
  if (exec.workspace_bytes() > 0) std::memset(exec.workspace(0), 0xFF, exec.workspace_bytes());
}

/// The output of a pass as floats, added to `before` if that is not empty.
template <class T>
std::vector<float> run_on(const How& how, std::size_t size, const std::vector<float>& before, auto run) {
  std::vector<T> start(size, T(std::numeric_limits<float>::quiet_NaN()));
  for (std::size_t e = 0; e < before.size(); ++e) start[e] = T(before[e]);
  Fenced<T> out(start, how.fence);
  run(!before.empty(), out.data());
  EXPECT_TRUE(out.intact());
  const std::vector<T> values = out.values();
  return {values.begin(), values.end()};
}

inline std::vector<float> run(const Problem& problem, Pass pass, const Operands& operands, const How& how,
                              const std::vector<float>& before = {}) {
  Exec exec({.threads = how.threads});
  Fenced<BFloat16> x(operands.x, how.fence), dy(operands.dy, how.fence);
  Fenced<float> w(operands.w, how.fence);
  if (pass == Pass::backward_weight) {
    const Bf16Weight weight(exec, problem, how.kernels);
    spoil_workspace(exec);
    return run_on<float>(how, problem.w_size(), before,
                         [&](bool add, float* dw) { weight.run(exec, x.data(), dy.data(), add, dw); });
  }
  const Bf16Product product(exec, problem, pass, how.kernels);
  spoil_workspace(exec);
  const bool forward = pass == Pass::forward;
  return run_on<BFloat16>(how, forward ? problem.y_size() : problem.x_size(), before, [&](bool add, BFloat16* out) {
    product.run(exec, forward ? x.data() : dy.data(), w.data(), add, out);
  });
}

inline void expect_same_bits(const std::vector<float>& expected, const std::vector<float>& actual) {
  ASSERT_EQ(expected.size(), actual.size());
  for (std::size_t e = 0; e < actual.size(); ++e) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(expected[e]), std::bit_cast<std::uint32_t>(actual[e])) << '[' << e << ']';
  }
}

inline constexpr Pass kPasses[] = {Pass::forward, Pass::backward_input, Pass::backward_weight};

inline std::string_view name_of(Pass pass) { return Conv2d::pass_names[static_cast<std::size_t>(pass)]; }

inline Problem square(int n, int image, int c, int k, int filter = 3, int stride = 1, int padding = 1) {
  return {.n = n, .h = image, .w = image, .c = c, .k = k, .r = filter, .s = filter, .stride = stride, .padding = padding};
}

inline std::vector<Problem> problems() {
  return {square(1, 32, 64, 64),           // 16 pixels of a line; 2 depth blocks at once
          square(2, 16, 96, 80),           // chunks of the sum; an odd panel
          square(16, 8, 64, 32),           // 16 images at a pixel
          square(19, 8, 40, 48),           // 3 of them left over; depth not a multiple of 32
          square(17, 4, 128, 32),          //
          square(3, 6, 35, 18),            // flattened lines
          square(4, 8, 32, 33, 3, 1, 0),   // 8 to 6
          square(2, 9, 33, 17, 3, 1, 2),   //
          square(2, 32, 32, 48, 3, 2),     //
          square(16, 8, 64, 96, 3, 2),     //
          square(3, 9, 20, 24, 3, 2, 0),   // pixels of dx without taps
          square(2, 7, 16, 70, 3, 2, 2),   //
          square(2, 16, 64, 64, 1, 1, 0),  //
          square(5, 5, 130, 20, 1, 1, 0),  //
          square(2, 16, 64, 40, 1, 2, 0),  // three quarters of dx without taps
          square(2, 32, 3, 64),            // windows of few channels
          square(1, 31, 3, 40, 3, 2),      //
          square(3, 6, 192, 10, 1, 1, 0),  //
          square(2, 12, 5, 7, 5, 1, 2),    //
          square(2, 10, 17, 20, 4, 3, 1),  // stride 3
          square(2, 9, 1, 16, 3, 2, 1),    // lines of windows of 3, 5 and 10 elements
          square(3, 8, 1, 18, 5, 1, 2),    //
          square(2, 11, 5, 20, 2, 3, 1),   //
          {.n = 3, .h = 4, .w = 2, .c = 3, .k = 20, .r = 3, .s = 5, .padding = 2},  // no window is inside the image
          {.n = 3, .h = 5, .w = 11, .c = 16, .k = 20, .r = 1, .s = 3, .padding = 1},
          {.n = 1, .h = 3, .w = 40, .c = 24, .k = 16, .r = 3, .s = 2, .padding = 1},
          {.n = 2, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1, .stride = 2, .padding = 1},
          {.n = 1, .h = 2, .w = 2, .c = 3, .k = 5, .r = 1, .s = 1, .padding = 3}};
}

/// The kernels on a unit, or null if this processor cannot run them. Those on AMX may be trapped, see trapped_amx.h.
inline const TileKernels16* kernels_on(std::string_view unit) {
  for (const Isa* isa : all_isas()) {
    if (isa->name == unit) return isa->tiles;
  }
  return unit == "amx" ? trapped_amx_tiles() : nullptr;
}

}  // namespace apam::kernels::cpu::bf16_case
