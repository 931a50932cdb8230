// Operands of kernels on the host side: typed pointers, their alignment, sizes of grids, arrays in the workspace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/ops/operation.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cuda {

/// The elements of an operand. Throws TypeError if they are not of type T.
template <class T>
const T* elements(In operand, std::string_view name) {
  return operand.as<T>(name).data();
}
template <class T>
T* elements(Out operand, std::string_view name) {
  return operand.as<T>(name).data();
}

/// make.template operator()<T>() for the type in which a problem stores activations.
template <class Make>
auto with_storage(DType type, const Make& make) {
  return type == DType::bfloat16 ? make.template operator()<BFloat16>() : make.template operator()<float>();
}

/// Whether all these addresses are multiples of `bytes`; null is.
template <class... Pointers>
bool aligned_to(std::size_t bytes, const Pointers*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % bytes == 0) && ...);
}

/// run.template operator()<count>() for packs of `count` channels, by default of 16 bytes, if they divide the channels and all
/// these addresses; otherwise for packs of one.
template <class T, int count = 16 / sizeof(T), class Run, class... Pointers>
void with_packs(int c, const Run& run, const Pointers*... pointers) {
  const bool packs = c % count == 0 && aligned_to(sizeof(T) * count, pointers...);
  packs ? run.template operator()<count>() : run.template operator()<1>();
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t multiple) { return ceil_div(a, multiple) * multiple; }

/// The number of blocks for `items`, `per_block` each. Throws ShapeError if a grid cannot be that large.
inline int blocks_for(std::int64_t items, std::int64_t per_block) {
  constexpr std::int64_t kMost = 0x7FFFFFFF;
  const std::int64_t blocks = ceil_div(items, per_block);
  require<ShapeError>(blocks <= kMost, "cuda: {} blocks are needed, a grid has at most {}", blocks, kMost);
  return static_cast<int>(blocks);
}

/// Alignment of arrays in the workspace: that of cudaMalloc, more than any access needs.
inline constexpr std::size_t kWorkspaceAlignment = 256;

}  // namespace apam::kernels::cuda
