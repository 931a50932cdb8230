// Replaces kernels/implementations.cpp in this test program: the CUDA kernels as "native" on the guarded GPU, as "emulated" on
// the CPU, and the naive loops.
#include <array>

#include "kernels/cuda/make.h"
#include "kernels/ops/kernel.h"
#include "kernels/providers.h"

namespace apam::kernels {
namespace {

template <class Op>
Table<Op> joined() {
  static const auto table = [] {
    const Implementation<Op>& emulated = std::get<Table<Op>>(cuda::tables_for(cuda::Target())).front();
    Implementation<Op> native = emulated;
    native.provider = "native";
    native.device = DeviceKind::cuda;
    return std::array<Implementation<Op>, 3>{native, emulated, std::get<Table<Op>>(reference::tables()).front()};
  }();
  return table;
}

}  // namespace

const Tables& all_implementations() {
  static const Tables tables = make_tables([]<class Op>() { return joined<Op>(); });
  return tables;
}

}  // namespace apam::kernels
