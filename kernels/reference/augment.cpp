#include "kernels/reference/augment.h"

#include "kernels/reference/augment_sample.h"
#include "kernels/reference/naive.h"

namespace apam::kernels {
namespace reference {

class AugmentForward final : public Naive<Augment> {
 public:
  using Naive::Naive;
  void forward(Exec&, const Augment::Source& source, const Augment::Selection& selection, Out y,
               Span<std::int32_t> labels) override {
    augment<float>(problem_, source, selection, FloatsOut(y, problem_.type, "augment: y").data());
    for (std::size_t i = 0; i < labels.size(); ++i) {
      labels.data()[i] = source.labels.data()[static_cast<std::size_t>(selection.images.data()[i])];
    }
  }
};

template <>
struct KernelsOf<Augment> : ByPass<AugmentForward> {};
template std::unique_ptr<Augment::Kernel> make<Augment>(const Augment::Problem&, Augment::Pass);

}  // namespace reference

template class SampleInputs<Augment>;

}  // namespace apam::kernels
