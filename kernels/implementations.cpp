// Joins the providers' tables into one table per operation.
#include <vector>

#include "kernels/ops/kernel.h"
#include "kernels/providers.h"

namespace apam::kernels {
namespace {

template <class Op>
using List = std::vector<Implementation<Op>>;

PerOperation<List> join() {
  PerOperation<List> lists;
  for (const Tables& tables : {cuda::tables(), cudnn::tables(), cpu::tables(), onednn::tables(), reference::tables()}) {
    for_each_operation([&]<class Op>() {
      const auto& table = std::get<Table<Op>>(tables);
      auto& list = std::get<List<Op>>(lists);
      list.insert(list.end(), table.begin(), table.end());
    });
  }
  return lists;
}

}  // namespace

const Tables& all_implementations() {
  static const PerOperation<List> lists = join();
  static const Tables tables = make_tables([]<class Op>() { return Table<Op>(std::get<List<Op>>(lists)); });
  return tables;
}

}  // namespace apam::kernels
