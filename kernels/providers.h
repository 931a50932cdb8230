// The providers' tables. Each folder defines its own; a provider that is not built is replaced by absent.cpp in its folder,
// whose tables are empty. implementations.cpp joins them in the order of preference that `auto` starts from.
#pragma once

#include "kernels/ops/operation.h"

namespace apam::kernels {

namespace cudnn {
template <class Op>
std::span<const Implementation<Op>> implementations();
}
namespace cuda {
template <class Op>
std::span<const Implementation<Op>> implementations();
}
namespace onednn {
template <class Op>
std::span<const Implementation<Op>> implementations();
}
namespace cpu {
template <class Op>
std::span<const Implementation<Op>> implementations();
}
namespace reference {
template <class Op>
std::span<const Implementation<Op>> implementations();
}

}  // namespace apam::kernels
