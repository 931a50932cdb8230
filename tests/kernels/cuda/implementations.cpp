// Replaces kernels/implementations.cpp in this test program: the CUDA kernels on the emulator, and the naive loops.
#include <array>

#include "kernels/cuda/make.h"
#include "kernels/ops/kernel.h"
#include "kernels/providers.h"

namespace apam::kernels {
namespace {

template <class Op>
Table<Op> joined() {
  static const std::array<Implementation<Op>, 2> table{std::get<Table<Op>>(cuda::tables_for(cuda::Target())).front(),
                                                       std::get<Table<Op>>(reference::tables()).front()};
  return table;
}

}  // namespace

const Tables& all_implementations() {
  static const Tables tables = make_tables([]<class Op>() { return joined<Op>(); });
  return tables;
}

}  // namespace apam::kernels
