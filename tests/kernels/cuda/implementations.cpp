// Replaces kernels/implementations.cpp in this test program: the CUDA kernels on the emulator, and the naive loops.
#include <vector>

#include "kernels/cuda/make.h"
#include "kernels/ops/kernel.h"
#include "kernels/providers.h"

namespace apam::kernels {
namespace {

template <class Op>
Table<Op> joined() {
  static const auto table = [] {
    const auto emulated = std::get<Table<Op>>(cuda::tables_for(cuda::Target()));
    std::vector<Implementation<Op>> all(emulated.begin(), emulated.end());
    all.push_back(std::get<Table<Op>>(reference::tables()).front());
    return all;
  }();
  return table;
}

}  // namespace

const Tables& all_implementations() {
  static const Tables tables = make_tables([]<class Op>() { return joined<Op>(); });
  return tables;
}

}  // namespace apam::kernels
