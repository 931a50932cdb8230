// The table of this provider. oneDNN has no primitives for the loss (softmax with labels) and for optimizer steps.
#include "kernels/onednn/make.h"
#include "kernels/providers.h"

namespace apam::kernels::onednn {
namespace {

template <class Op>
concept Offered = requires(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  make(exec, problem, pass);
};

template <class Op>
concept Restricted = requires(const typename Op::Problem& problem, typename Op::Pass pass) {
  supports(problem, pass);
};

template <class Op>
bool supported(const typename Op::Problem& problem, typename Op::Pass pass) {
  if constexpr (Restricted<Op>) return supports(problem, pass);
  return problem.type == DType::float32;
}

template <class Op>
std::span<const Implementation<Op>> table() {
  if constexpr (Offered<Op>) {
    static constexpr std::array<Implementation<Op>, 1> kTable{Implementation<Op>{
        "onednn", DeviceKind::cpu, supported<Op>,
        [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) { return make(exec, problem, pass); }}};
    return kTable;
  }
  return {};
}

}  // namespace

Tables tables() {
  return make_tables([]<class Op>() { return table<Op>(); });
}

}  // namespace apam::kernels::onednn
