// Primitive descriptors. oneDNN 2 creates them from operation descriptors (primitives_v2.cpp), oneDNN 3 directly
// (primitives_v3.cpp); CMake builds one of the two. The rest of oneDNN's API that the kernels use is the same in both.
// Primitives take their scratch memory from the caller, so that kernels share the workspace of their Exec.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace apam::kernels::onednn {

/// The type of the elements of a layout.
dnnl::memory::data_type data_type_of(const dnnl::memory::desc& layout);

/// A convolution: x (N, C, H, W), w (K, C, R, S) and y (N, K, P, Q) as oneDNN names dimensions, in any layout.
struct ConvolutionShape {
  dnnl::memory::desc x, w, y;
  dnnl::memory::dims strides, padding;
};
dnnl::convolution_forward::primitive_desc convolution_forward(const dnnl::engine& engine, const ConvolutionShape& shape);
/// The backward passes take a forward descriptor as a hint; its layout of w may differ.
dnnl::convolution_backward_data::primitive_desc convolution_backward_data(
    const dnnl::engine& engine, const ConvolutionShape& shape, const dnnl::convolution_forward::primitive_desc& forward);
dnnl::convolution_backward_weights::primitive_desc convolution_backward_weights(
    const dnnl::engine& engine, const ConvolutionShape& shape, const dnnl::convolution_forward::primitive_desc& forward);

/// A fully connected layer: x (N, C), w (K, C), b (K), y (N, K).
struct InnerProductShape {
  dnnl::memory::desc x, w, b, y;
};
dnnl::inner_product_forward::primitive_desc inner_product_forward(const dnnl::engine& engine, const InnerProductShape& shape);
dnnl::inner_product_backward_data::primitive_desc inner_product_backward_data(
    const dnnl::engine& engine, const InnerProductShape& shape, const dnnl::inner_product_forward::primitive_desc& forward);
dnnl::inner_product_backward_weights::primitive_desc inner_product_backward_weights(
    const dnnl::engine& engine, const InnerProductShape& shape, const dnnl::inner_product_forward::primitive_desc& forward);

/// Batch normalisation. `data` is the layout of x, y and their gradients; scale and shift are two vectors.
struct BatchNormShape {
  dnnl::memory::desc data;
  float eps;
  dnnl::normalization_flags flags;
};
dnnl::batch_normalization_forward::primitive_desc batch_norm_forward(const dnnl::engine& engine, dnnl::prop_kind pass,
                                                                     const BatchNormShape& shape);
dnnl::batch_normalization_backward::primitive_desc batch_norm_backward(
    const dnnl::engine& engine, const BatchNormShape& shape, const dnnl::batch_normalization_forward::primitive_desc& forward);
/// Whether the backward pass requires DNNL_ARG_SHIFT (oneDNN 2, which does not read it) or rejects it (oneDNN 3).
bool batch_norm_backward_takes_shift();

/// Average pooling without padding.
struct PoolingShape {
  dnnl::memory::desc x, y;
  dnnl::memory::dims window, strides;
};
dnnl::pooling_forward::primitive_desc pooling_forward(const dnnl::engine& engine, const PoolingShape& shape);
dnnl::pooling_backward::primitive_desc pooling_backward(const dnnl::engine& engine, const PoolingShape& shape,
                                                        const dnnl::pooling_forward::primitive_desc& forward);

/// y = function(x) element by element; `alpha` is the function's parameter.
dnnl::eltwise_forward::primitive_desc eltwise_forward(const dnnl::engine& engine, dnnl::algorithm function,
                                                      const dnnl::memory::desc& data, float alpha);
dnnl::eltwise_backward::primitive_desc eltwise_backward(const dnnl::engine& engine, dnnl::algorithm function,
                                                        const dnnl::memory::desc& data,
                                                        const dnnl::eltwise_forward::primitive_desc& forward);

/// y = a + b.
dnnl::binary::primitive_desc addition(const dnnl::engine& engine, const dnnl::memory::desc& data);

}  // namespace apam::kernels::onednn
