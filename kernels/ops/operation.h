// What all operations share: how outputs are written, how a provider is listed, and how kernels are chosen.
//
// An operation `Op` is a struct (one file each in this folder) with
//   name            its name in --kernels and in reports
//   Problem         a value that fixes shapes and variants; ordered, so that it can be a key; has describe()
//   Pass            an enum of what it computes (forward, backward_input, ...), and pass_names in that order
//   Kernel          the abstract kernel: one virtual function a pass
// A provider implements Kernel and lists itself in its folder's table; kernels/implementations.cpp joins the tables.
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
  std::string_view provider;  ///< "ours", "onednn", "cudnn", "reference"
  DeviceKind device;
  bool (*supports)(const typename Op::Problem&, typename Op::Pass);
  /// Makes a kernel for one problem: descriptors, plans and workspace are settled here, once.
  std::unique_ptr<typename Op::Kernel> (*make)(Exec&, const typename Op::Problem&);
};

/// All implementations in this build, `reference` last.
template <class Op>
std::span<const Implementation<Op>> implementations();

/// The kernel chosen for a problem and pass; made at the first call, looked up afterwards. Ask for it right before it runs.
/// Throws KernelError for a provider that is unknown, not built, or demanded for a problem that it cannot do.
template <class Op>
typename Op::Kernel& kernel(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass);

}  // namespace apam::kernels
