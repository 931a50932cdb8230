#include "kernels/cudnn/graph.h"

#include <array>

namespace apam::kernels::cudnn {
namespace {

constexpr cudnnBackendAttributeName_t kInMemory = CUDNN_ATTR_TENSOR_UNIQUE_ID;  // no attribute of its own

cudnnDataType_t data_type(DType type) { return type == DType::bfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

/// Names of the attributes of a convolution, which differ by pass.
struct ConvolutionNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
};
constexpr std::array<ConvolutionNames, 3> kConvolution{{
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
}};

}  // namespace

Graph::Tensor Graph::tensor(std::int64_t id, Dimensions d, cudnnDataType_t type, cudnnBackendAttributeName_t kind) {
  constexpr std::int64_t kAlignment = 16;
  const std::array<std::int64_t, 4> sizes{d.n, d.c, d.h, d.w}, strides{d.c * d.h * d.w, 1, d.c * d.w, d.c};
  Descriptor& tensor = parts_.emplace_back(CUDNN_BACKEND_TENSOR_DESCRIPTOR,
                                           fmt::format("tensor {} ({}, {}, {}, {}) of {}", id, d.n, d.h, d.w, d.c, what_));
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
      .set<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, sizes)
      .set<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES, strides)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  if (kind != kInMemory) tensor.set(kind, true);
  return tensor.finalize().get();
}

Graph::Tensor Graph::stored(int id, Dimensions d, DType type) {
  operands_.push_back({id, static_cast<std::size_t>(d.n * d.c * d.h * d.w) * size_of(type)});
  return tensor(id, d, data_type(type), kInMemory);
}

Graph::Tensor Graph::scalar(int id) {
  scalars_.push_back(id);
  return tensor(id, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
}

Graph::Tensor Graph::intermediate(Dimensions d) {
  return tensor(next_intermediate_++, d, CUDNN_DATA_FLOAT, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
}

Descriptor& Graph::add(cudnnBackendDescriptorType_t type, const char* name) {
  return parts_.emplace_back(type, fmt::format("{} of {}", name, what_));
}

void Graph::add_operation(Descriptor operation) { operations_.push_back(std::move(operation.finalize())); }

void Graph::convolution(Conv2d::Pass pass, const Conv2d::Problem& p, Tensor x, Tensor w, Tensor y, float keep) {
  const std::array<std::int64_t, 2> padding{p.padding, p.padding}, strides{p.stride, p.stride}, dilations{1, 1};
  Descriptor& convolution = add(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
      .set<std::int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
      .set<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, strides)
      .set<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilations)
      .finalize();
  const ConvolutionNames& names = kConvolution.at(static_cast<std::size_t>(pass));
  Descriptor operation(names.operation, "operation of " + what_);
  operation.set(names.convolution, convolution.get())
      .set(names.x, x)
      .set(names.w, w)
      .set(names.y, y)
      .set(names.alpha, 1.0F)
      .set(names.beta, keep);
  add_operation(std::move(operation));
}

Handle Graph::function(cudnnPointwiseMode_t mode) {
  Descriptor& function = add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "element-wise function");
  return function.set(CUDNN_ATTR_POINTWISE_MODE, mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT).finalize().get();
}

void Graph::pointwise(cudnnPointwiseMode_t mode, Tensor a, Tensor result) { pointwise(mode, a, nullptr, result); }

void Graph::pointwise(cudnnPointwiseMode_t mode, Tensor a, Tensor b, Tensor result) {
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "element-wise operation of " + what_);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function(mode)).set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
  if (b != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, result);
  add_operation(std::move(operation));
}

void Graph::relu_gradient(Tensor dy, Tensor y, Tensor g) {
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "ReLU gradient of " + what_);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function(CUDNN_POINTWISE_RELU_BWD))
      .set(CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, dy)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, y)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, g);
  add_operation(std::move(operation));
}

void Graph::batch_norm_training(const BatchNormForward& t) {
  Descriptor operation(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, "operation of " + what_);
  operation.set(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_BATCH_NORM)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_NORM_FWD_TRAINING)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, t.x)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, t.gamma)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, t.beta)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, t.eps)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, t.factor)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, t.old_mean)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, t.old_variance)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, t.y)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, t.mean)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, t.inv_std)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, t.new_mean)
      .set(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, t.new_variance);
  add_operation(std::move(operation));
}

void Graph::batch_norm_backward(const BatchNormBackward& t) {
  Descriptor operation(CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR, "operation of " + what_);
  operation.set(CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_BATCH_NORM)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, t.x)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, t.mean)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, t.inv_std)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, t.dy)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, t.gamma)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, t.dx)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, t.dgamma)
      .set(CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, t.dbeta);
  add_operation(std::move(operation));
}

void Graph::finish() {
  std::vector<Handle> operations;
  for (const Descriptor& operation : operations_) operations.push_back(operation.get());
  graph_ = Descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "graph of " + what_);
  graph_.set<Handle>(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations).finalize();
}

}  // namespace apam::kernels::cudnn
