// Element-wise kernels: y[i] = f(a[i]) or f(a[i], b[i]); y may be a or b, and may be added to.
// A thread computes one pack of elements: as many as 16 bytes hold of the wider type. The last pack may be partial. Operands
// that are not aligned to their packs take one element per thread.
#pragma once

#include "kernels/cuda/elements.h"
#include "kernels/cuda/operands.h"

#include <simt/launch.h>
#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

/// `Function` has float operator()(float a, float b) const on the device, and `operands`, 1 or 2.
template <class Function, class From, class To, int count>
struct Pointwise {
  struct Args {
    Function function;
    const From *a, *b;  // (size); b is null if there is only one operand
    To* y;              // (size)
    std::int64_t size;
    bool add;
  };
  static constexpr int threads = 256, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const std::int64_t first = (std::int64_t{block().x} * threads + thread()) * count;
    if (first + count <= args.size) return compute_pack(args, first);
    for (std::int64_t i = first; i < args.size; ++i) {
      write(args.y[i], args.function(to_float(args.a[i]), Function::operands == 2 ? to_float(args.b[i]) : 0), args.add);
    }
  }

  DEVICE static void compute_pack(const Args& args, std::int64_t first) {
    const auto a = load_pack<count>(args.a + first);
    Pack<From, count> b = a;
    if constexpr (Function::operands == 2) b = load_pack<count>(args.b + first);
    Pack<To, count> y;
    if (args.add) y = load_pack<count>(args.y + first);
#pragma unroll
    for (int i = 0; i < count; ++i) {
      write(y.values[i], args.function(to_float(a.values[i]), to_float(b.values[i])), args.add);
    }
    store_pack<count>(args.y + first, y);
  }
};

template <class From, class To, class Function>
void compute_pointwise(Exec& exec, const Function& function, const From* a, const From* b, To* y, std::int64_t size,
                       Write write = Write::overwrite) {
  constexpr int kCount = 16 / (sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));
  const bool packs = aligned_to(sizeof(From) * kCount, a, b) && aligned_to(sizeof(To) * kCount, y);
  const auto run = [&]<int count>() {
    using Kernel = Pointwise<Function, From, To, count>;
    launch<Kernel>(exec, {blocks_for(size, std::int64_t{Kernel::threads} * count)},
                   {function, a, b, y, size, write == Write::add});
  };
  packs ? run.template operator()<kCount>() : run.template operator()<1>();
}

}  // namespace apam::kernels::cuda
