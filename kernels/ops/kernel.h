// kernel<Op>(): the kernel that computes a pass of a problem. Which provider's it is: kernels/selection.cpp.
//
//   kernel<Relu>(exec, {.size = n}, Relu::Pass::forward)->forward(exec, x, y);
#pragma once

#include <memory>
#include <utility>

#include "kernels/ops/all.h"
#include "kernels/ops/kernel_trace.h"

namespace apam::kernels {

/// All implementations in this build, `reference` last.
const Tables& all_implementations();
template <class Op>
Table<Op> implementations() {
  return std::get<Table<Op>>(all_implementations());
}

/// A kernel for one call. With APAM_VERBOSE the call is timed, up to the end of the statement, and printed.
template <class Op>
class KernelCall {
 public:
  using Kernel = typename Op::Kernel;

  explicit KernelCall(Kernel& kernel, std::unique_ptr<KernelTrace> trace = {}) : kernel_(&kernel), trace_(std::move(trace)) {}

  Kernel* operator->() const {
    if (trace_) trace_->start();
    return kernel_;
  }
  /// The kernel itself. It lives as long as the Exec.
  Kernel& get() const { return *kernel_; }

 private:
  Kernel* kernel_;
  std::unique_ptr<KernelTrace> trace_;
};

template <class Op>
using KernelLookup = KernelCall<Op> (*)(Exec&, const typename Op::Problem&, typename Op::Pass);
/// kernel<Op>() of every operation.
const PerOperation<KernelLookup>& kernel_lookups();

/// The kernel chosen for a problem and pass: made by the first call, looked up by later ones. Call it right before the kernel
/// runs. Throws KernelError for a provider that is unknown, not built, or demanded for a problem that it does not support.
template <class Op>
KernelCall<Op> kernel(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  return std::get<KernelLookup<Op>>(kernel_lookups())(exec, problem, pass);
}

/// Throws InputError if a selection names an operation, pass or provider that this build does not have.
void check_selection(const KernelSelection& selection);

/// Throws DeviceError if some operation has no kernel for this kind of device in this build; the message names them.
void check_kernels_for(DeviceKind device);

}  // namespace apam::kernels
