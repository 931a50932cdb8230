// Every operation, for typed tests: TYPED_TEST_SUITE(Suite, support::OperationTypes, support::OperationName).
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "kernels/ops/all.h"

namespace apam::support {

template <class List>
struct TypesOf;
template <class... Ops>
struct TypesOf<kernels::Operations<Ops...>> {
  using type = testing::Types<Ops...>;
};
using OperationTypes = TypesOf<kernels::AllOperations>::type;

struct OperationName {
  template <class Op>
  static std::string GetName(int) {
    return std::string(Op::name);
  }
};

}  // namespace apam::support
