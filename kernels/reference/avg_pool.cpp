#include "kernels/reference/avg_pool.h"

#include "kernels/reference/avg_pool_sample.h"
#include "kernels/reference/naive.h"

namespace apam::kernels {
namespace reference {

class AvgPoolForward final : public Naive<AvgPool> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, Out y) override {
    avg_pool_forward(problem_, FloatsIn(x, problem_.type, "avg_pool: x").data(),
                     FloatsOut(y, problem_.type, "avg_pool: y").data());
  }
};

class AvgPoolBackward final : public Naive<AvgPool> {
 public:
  using Naive::Naive;
  void backward(Exec&, In dy, Out dx, Write write) override {
    avg_pool_backward(problem_, FloatsIn(dy, problem_.type, "avg_pool: dy").data(),
                      FloatsOut(dx, problem_.type, "avg_pool: dx").data(), write);
  }
};

template <>
struct KernelsOf<AvgPool> : ByPass<AvgPoolForward, AvgPoolBackward> {};
template std::unique_ptr<AvgPool::Kernel> make<AvgPool>(const AvgPool::Problem&, AvgPool::Pass);

}  // namespace reference

template class SampleInputs<AvgPool>;

}  // namespace apam::kernels
