// Primitive descriptors with oneDNN 3.
#include "kernels/onednn/primitives.h"

namespace apam::kernels::onednn {
namespace {

dnnl::primitive_attr caller_scratch() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

constexpr auto kConvolution = dnnl::algorithm::convolution_direct;
constexpr auto kPooling = dnnl::algorithm::pooling_avg_exclude_padding;
constexpr auto kTraining = dnnl::prop_kind::forward_training;

}  // namespace

dnnl::memory::data_type data_type_of(const dnnl::memory::desc& layout) { return layout.get_data_type(); }

dnnl::convolution_forward::primitive_desc convolution_forward(const dnnl::engine& engine, const ConvolutionShape& shape) {
  return {engine,  kTraining,     kConvolution,  shape.x,       shape.w,
          shape.y, shape.strides, shape.padding, shape.padding, caller_scratch()};
}

dnnl::convolution_backward_data::primitive_desc convolution_backward_data(
    const dnnl::engine& engine, const ConvolutionShape& shape, const dnnl::convolution_forward::primitive_desc& forward) {
  return {engine,        kConvolution,  shape.x,       shape.w, shape.y,
          shape.strides, shape.padding, shape.padding, forward, caller_scratch()};
}

dnnl::convolution_backward_weights::primitive_desc convolution_backward_weights(
    const dnnl::engine& engine, const ConvolutionShape& shape, const dnnl::convolution_forward::primitive_desc& forward) {
  return {engine,        kConvolution,  shape.x,       shape.w, shape.y,
          shape.strides, shape.padding, shape.padding, forward, caller_scratch()};
}

dnnl::inner_product_forward::primitive_desc inner_product_forward(const dnnl::engine& engine, const InnerProductShape& shape) {
  return {engine, kTraining, shape.x, shape.w, shape.b, shape.y, caller_scratch()};
}

dnnl::inner_product_backward_data::primitive_desc inner_product_backward_data(
    const dnnl::engine& engine, const InnerProductShape& shape, const dnnl::inner_product_forward::primitive_desc& forward) {
  return {engine, shape.x, shape.w, shape.y, forward, caller_scratch()};
}

dnnl::inner_product_backward_weights::primitive_desc inner_product_backward_weights(
    const dnnl::engine& engine, const InnerProductShape& shape, const dnnl::inner_product_forward::primitive_desc& forward) {
  return {engine, shape.x, shape.w, shape.b, shape.y, forward, caller_scratch()};
}

dnnl::batch_normalization_forward::primitive_desc batch_norm_forward(const dnnl::engine& engine, dnnl::prop_kind pass,
                                                                     const BatchNormShape& shape) {
  return {engine, pass, shape.data, shape.data, shape.eps, shape.flags, caller_scratch()};
}

dnnl::batch_normalization_backward::primitive_desc batch_norm_backward(
    const dnnl::engine& engine, const BatchNormShape& shape, const dnnl::batch_normalization_forward::primitive_desc& forward) {
  return {engine,  dnnl::prop_kind::backward, shape.data, shape.data, shape.data, shape.eps, shape.flags,
          forward, caller_scratch()};
}

bool batch_norm_backward_takes_shift() { return false; }

dnnl::pooling_forward::primitive_desc pooling_forward(const dnnl::engine& engine, const PoolingShape& shape) {
  const dnnl::memory::dims none(shape.window.size(), 0);
  return {engine, kTraining, kPooling, shape.x, shape.y, shape.strides, shape.window, none, none, none, caller_scratch()};
}

dnnl::pooling_backward::primitive_desc pooling_backward(const dnnl::engine& engine, const PoolingShape& shape,
                                                        const dnnl::pooling_forward::primitive_desc& forward) {
  const dnnl::memory::dims none(shape.window.size(), 0);
  return {engine, kPooling, shape.x, shape.y, shape.strides, shape.window, none, none, none, forward, caller_scratch()};
}

dnnl::eltwise_forward::primitive_desc eltwise_forward(const dnnl::engine& engine, dnnl::algorithm function,
                                                      const dnnl::memory::desc& data, float alpha) {
  return {engine, kTraining, function, data, data, alpha, caller_scratch()};
}

dnnl::eltwise_backward::primitive_desc eltwise_backward(const dnnl::engine& engine, dnnl::algorithm function,
                                                        const dnnl::memory::desc& data,
                                                        const dnnl::eltwise_forward::primitive_desc& forward) {
  return {engine, function, data, data, data, forward, caller_scratch()};
}

dnnl::binary::primitive_desc addition(const dnnl::engine& engine, const dnnl::memory::desc& data) {
  return {engine, dnnl::algorithm::binary_add, data, data, data, caller_scratch()};
}

}  // namespace apam::kernels::onednn
