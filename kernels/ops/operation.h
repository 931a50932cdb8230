// What all operations share: how outputs are written, how a provider is listed, and how kernels are chosen.
//
// An operation `Op` is a struct (one file each in this folder) with
//   name            its name in --kernels and in reports
//   Problem         a value that fixes shapes and variants; ordered, so that it can be a key; has describe()
//   Pass            an enum of what it computes (forward, backward_input, ...), and pass_names in that order
//   Kernel          the abstract kernel: one virtual function per pass. A kernel is made for one pass; its other functions
//                   throw KernelError
// A provider implements Kernel and lists itself in its folder's table; kernels/implementations.cpp joins the tables.
//
// Operands that are not finite, huge or tiny. What `reference` gives is the rule, its results rounded to float32:
//   - Where it gives NaN or +-Inf, every provider gives NaN or +-Inf, never a finite number: divergence is not hidden.
//   - Where it gives a finite number, so does every provider, the right one, except within reach of an operand that is NaN,
//     +-Inf or so large that its square overflows: NaN and +-Inf are allowed there, and what such an operand rounds by. What
//     it reaches: the element at its own place; in a conv2d its image (of x or dy), its filter or its channel, whichever the
//     output has; in a batch_norm that sums over rows its channel; in a softmax_cross_entropy its row and the loss, but
//     never the counts.
//   - A number whose magnitude is below FLT_MIN (a denormal) may count as zero, operand or result.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/runtime/exec.h"

namespace apam::kernels {

/// How a gradient output is written: in place of what is there, or added to it.
enum class Write : std::uint8_t { overwrite, add };

/// One provider's implementation of `Op`.
template <class Op>
struct Implementation {
  std::string_view provider;  ///< "native", "onednn", "cudnn", "reference"
  DeviceKind device;
  bool (*supports)(const typename Op::Problem&, typename Op::Pass);
  /// Makes a kernel for one pass of a problem: descriptors, plans and workspace are settled here, once, for that pass only.
  std::unique_ptr<typename Op::Kernel> (*make)(Exec&, const typename Op::Problem&, typename Op::Pass);
};

/// Makes a kernel of the class that has in `ByPass` the place that `pass` has in Op::Pass.
template <class Op, class... ByPass, class... Args>
std::unique_ptr<typename Op::Kernel> make_by_pass(typename Op::Pass pass, Args&... args) {
  static_assert(sizeof...(ByPass) == Op::pass_names.size(), "one class per pass");
  std::unique_ptr<typename Op::Kernel> kernel;
  std::size_t place = 0;
  const auto is_next = [&] { return place++ == static_cast<std::size_t>(pass); };
  ((is_next() ? void(kernel = std::make_unique<ByPass>(args...)) : void()), ...);
  return kernel;
}

/// All implementations in this build, `reference` last.
template <class Op>
std::span<const Implementation<Op>> implementations();

/// The kernel chosen for a problem and pass; made at the first call, looked up afterwards. Ask for it right before it runs.
/// Throws KernelError for a provider that is unknown, not built, or demanded for a problem that it cannot do.
template <class Op>
typename Op::Kernel& kernel(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass);

}  // namespace apam::kernels
