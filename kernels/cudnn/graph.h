// A graph of cuDNN operations on tensors that are stored channels last, to be computed by one plan. Everything is computed in
// float32, regardless of the types of the tensors.
#pragma once

#include <string>
#include <vector>

#include "kernels/cudnn/descriptor.h"
#include "kernels/ops/conv2d.h"
#include "kernels/runtime/dtype.h"

namespace apam::kernels::cudnn {

/// cuDNN's order of dimensions; in memory it is N, H, W, C.
struct Dimensions {
  std::int64_t n, c, h, w;
};

/// An operand in memory. `id` names it when the plan runs.
struct Operand {
  int id;
  std::size_t bytes;
};

class Graph {
 public:
  /// Owned by the graph.
  using Tensor = Handle;

  /// `what` names operation and problem in errors.
  explicit Graph(std::string what) : what_(std::move(what)) {}

  /// A tensor in the memory of the device, aligned to 16 bytes.
  Tensor stored(int id, Dimensions, DType);
  /// A float32 number in the memory of the host, read when the plan is launched.
  Tensor scalar(int id);
  /// A result in float32 that only other operations of the graph read.
  Tensor intermediate(Dimensions);

  /// y, dx or dw, by `pass`: result = convolution + keep * result.
  void convolution(Conv2d::Pass pass, const Conv2d::Problem&, Tensor x, Tensor w, Tensor y, float keep);
  void pointwise(cudnnPointwiseMode_t mode, Tensor a, Tensor result);
  void pointwise(cudnnPointwiseMode_t mode, Tensor a, Tensor b, Tensor result);
  /// g = dy where y > 0, else 0.
  void relu_gradient(Tensor dy, Tensor y, Tensor g);

  struct BatchNormForward {
    Tensor x, gamma, beta, eps, factor, old_mean, old_variance;
    Tensor y, mean, inv_std, new_mean, new_variance;
  };
  /// Statistics of the batch; new_variance = (1 - factor) * old_variance + factor * unbiased variance.
  void batch_norm_training(const BatchNormForward&);
  struct BatchNormBackward {
    Tensor dy, x, mean, inv_std, gamma;
    Tensor dx, dgamma, dbeta;
  };
  void batch_norm_backward(const BatchNormBackward&);

  /// Ends the construction. Throws NotSupported if cuDNN rejects the graph.
  void finish();

  /// The finished graph.
  Handle get() const { return graph_.get(); }
  const std::string& what() const { return what_; }
  /// Tensors in the memory of the device.
  const std::vector<Operand>& operands() const { return operands_; }
  /// Ids of the numbers in the memory of the host.
  const std::vector<int>& scalars() const { return scalars_; }

 private:
  Tensor tensor(std::int64_t id, Dimensions, cudnnDataType_t, cudnnBackendAttributeName_t kind);
  Descriptor& add(cudnnBackendDescriptorType_t type, const char* name);
  Handle function(cudnnPointwiseMode_t mode);  // element-wise
  void add_operation(Descriptor operation);

  std::string what_;
  std::vector<Descriptor> parts_, operations_;
  std::vector<Operand> operands_;
  std::vector<int> scalars_;
  std::int64_t next_intermediate_ = 1000;
  Descriptor graph_;
};

}  // namespace apam::kernels::cudnn
