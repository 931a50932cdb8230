// What all operations share: how outputs are written, and how a provider lists its kernels.
//
// An operation `Op` is a struct (one file per operation in this folder) with
//   name            its name in --kernels and in reports
//   Problem         a value that fixes shapes and variants; ordered, so that it can be a key; has describe()
//   Pass            an enum of what it computes (forward, backward_input, ...), and pass_names in the same order
//   Kernel          the abstract kernel: one virtual function per pass. A kernel is made for one pass; its other functions
//                   throw KernelError
// A provider implements Kernel and adds an Implementation to the table in its folder; kernels/implementations.cpp joins the
// tables.
//
// Types. Operands that are the size of a batch (activations and their gradients) have the type of the problem, float32 or
// bfloat16; weights, their gradients, statistics and sums are float32. With bfloat16, kernels read operands exactly, compute
// and sum in float32, and round each result once, to nearest even; Write::add rounds the sum. Weights that are multiplied are
// first rounded to bfloat16. An operand of another type throws TypeError.
//
// Extreme operands (not finite, huge or denormal). The results of `reference`, rounded to float32, define what is right:
//   - If `reference` gives NaN or +-Inf, every provider gives NaN or +-Inf: divergence stays visible.
//   - If it gives a finite number, so does every provider, within tolerance. Exception: elements within reach of an operand
//     that is NaN, +-Inf, or so large that its square overflows may be NaN or +-Inf, or carry the rounding error of that
//     operand. Reach is the element at the same index, except: in conv2d the image (of x or dy), the filter or the channel,
//     whichever the output has; in a batch_norm that sums over rows the channel; in softmax_cross_entropy the row and the
//     loss, but not the counts.
//   - Denormal numbers (magnitude below FLT_MIN) may be treated as zero, as operands and as results.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/runtime/exec.h"

namespace apam::kernels {

/// The end of a problem's description: ", bfloat16", or nothing for float32.
constexpr std::string_view suffix(DType type) { return type == DType::bfloat16 ? ", bfloat16" : ""; }

/// How a gradient output is written: over its old value, or added to it.
enum class Write : std::uint8_t { overwrite, add };

/// One provider's implementation of `Op`.
template <class Op>
struct Implementation {
  std::string_view provider;  ///< "native", "tma", "onednn", "cudnn", "reference"
  DeviceKind device;
  bool (*supports)(const typename Op::Problem&, typename Op::Pass);
  /// Makes a kernel for one pass of a problem. Sets up descriptors, plans and workspace, for that pass only.
  std::unique_ptr<typename Op::Kernel> (*make)(Exec&, const typename Op::Problem&, typename Op::Pass);
  /// Not a candidate of `auto` where another provider supports the problem: making kernels to compare them takes too long, or
  /// they were not measured yet.
  bool only_named = false;
};

/// Makes a kernel of the class in `ByPass` that corresponds to `pass`: one class per pass, in the order of Op::Pass.
template <class Op, class... ByPass, class... Args>
std::unique_ptr<typename Op::Kernel> make_by_pass(typename Op::Pass pass, Args&... args) {
  static_assert(sizeof...(ByPass) == Op::pass_names.size(), "one class per pass");
  std::unique_ptr<typename Op::Kernel> kernel;
  std::size_t place = 0;
  const auto is_next = [&] { return place++ == static_cast<std::size_t>(pass); };
  ((is_next() ? void(kernel = std::make_unique<ByPass>(args...)) : void()), ...);
  return kernel;
}

/// Throws KernelError: a kernel was called for a pass that it was not made for.
template <class Op>
[[noreturn]] void fail_other_pass(typename Op::Pass pass) {
  fail<KernelError>("{}: the kernel was made for another pass, not for {}", Op::name,
                    Op::pass_names[static_cast<std::size_t>(pass)]);
}

}  // namespace apam::kernels
