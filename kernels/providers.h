// The providers' tables. Each folder defines tables() of its own; a provider that is not built is replaced by absent.cpp in its
// folder, whose tables are empty. implementations.cpp joins them in the order that `auto` starts from.
#pragma once

#include <tuple>

#include "kernels/ops/all.h"

namespace apam::kernels {

namespace detail {
template <class List>
struct TablesOf;
template <class... Ops>
struct TablesOf<Operations<Ops...>> {
  using type = std::tuple<std::span<const Implementation<Ops>>...>;
};
}  // namespace detail

/// What one provider offers: for every operation a span of implementations, empty where it has none.
using Tables = detail::TablesOf<AllOperations>::type;

/// Tables whose span for each operation is table.template operator()<Op>().
template <class Table>
Tables make_tables(Table table) {
  Tables tables;
  for_each_operation(
      [&]<class Op>() { std::get<std::span<const Implementation<Op>>>(tables) = table.template operator()<Op>(); });
  return tables;
}

namespace cudnn {
Tables tables();
}
namespace cuda {
Tables tables();
}
namespace onednn {
Tables tables();
}
namespace cpu {
Tables tables();
}
namespace reference {
Tables tables();
}

}  // namespace apam::kernels
