// What this folder offers: a naive kernel for each problem and pass of every operation.
#pragma once

#include <memory>

#include "kernels/ops/operation.h"

namespace apam::kernels::reference {

/// Instantiated in NAME.cpp, by naive.h.
template <class Op>
std::unique_ptr<typename Op::Kernel> make(const typename Op::Problem& problem, typename Op::Pass pass);

}  // namespace apam::kernels::reference
