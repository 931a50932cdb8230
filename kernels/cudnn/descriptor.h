// A descriptor of cuDNN's graph API: created, given attributes, finalized, and from then on constant.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/cudnn/library.h"

namespace apam::kernels::cudnn {

using Handle = cudnnBackendDescriptor_t;

namespace detail {

/// The type of an attribute as the library's enum. Other types must not convert to one of these.
template <class T>
constexpr cudnnBackendAttributeType_t tag(T) = delete;
constexpr cudnnBackendAttributeType_t tag(std::int64_t) { return CUDNN_TYPE_INT64; }
constexpr cudnnBackendAttributeType_t tag(std::int32_t) { return CUDNN_TYPE_INT32; }
constexpr cudnnBackendAttributeType_t tag(float) { return CUDNN_TYPE_FLOAT; }
constexpr cudnnBackendAttributeType_t tag(bool) { return CUDNN_TYPE_BOOLEAN; }
constexpr cudnnBackendAttributeType_t tag(char) { return CUDNN_TYPE_CHAR; }
constexpr cudnnBackendAttributeType_t tag(Handle) { return CUDNN_TYPE_BACKEND_DESCRIPTOR; }
constexpr cudnnBackendAttributeType_t tag(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
constexpr cudnnBackendAttributeType_t tag(cudnnConvolutionMode_t) { return CUDNN_TYPE_CONVOLUTION_MODE; }
constexpr cudnnBackendAttributeType_t tag(cudnnPointwiseMode_t) { return CUDNN_TYPE_POINTWISE_MODE; }
constexpr cudnnBackendAttributeType_t tag(cudnnBackendHeurMode_t) { return CUDNN_TYPE_HEUR_MODE; }
constexpr cudnnBackendAttributeType_t tag(cudnnBackendNormMode_t) { return CUDNN_TYPE_NORM_MODE; }
constexpr cudnnBackendAttributeType_t tag(cudnnBackendNormFwdPhase_t) { return CUDNN_TYPE_NORM_FWD_PHASE; }
constexpr cudnnBackendAttributeType_t tag(cudnnBackendNumericalNote_t) { return CUDNN_TYPE_NUMERICAL_NOTE; }
constexpr cudnnBackendAttributeType_t tag(cudnnBackendBehaviorNote_t) { return CUDNN_TYPE_BEHAVIOR_NOTE; }
constexpr cudnnBackendAttributeType_t tag(cudnnBackendKnobType_t) { return CUDNN_TYPE_KNOB_TYPE; }

}  // namespace detail

/// Move-only. Every call throws what check() throws; `what` names the descriptor in messages: "convolution of conv2d 2x8x8x16".
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(cudnnBackendDescriptorType_t type, std::string what) : what_(std::move(what)) {
    Handle created = nullptr;
    check(library().create_descriptor(type, &created), "creating " + what_);
    handle_.reset(created);
  }

  Handle get() const { return handle_.get(); }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    return set(name, detail::tag(T{}), static_cast<std::int64_t>(values.size()), values.data());
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, T value) {
    return set(name, std::span<const T>(&value, 1));
  }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
    check(library().set_attribute(get(), name, type, count, values),
          fmt::format("setting attribute {} of {}", static_cast<int>(name), what_));
    return *this;
  }
  Descriptor& finalize() {
    check(library().finalize(get()), "finalizing " + what_);
    return *this;
  }

  /// At most `most` values of an attribute.
  template <class T>
  std::vector<T> values(cudnnBackendAttributeName_t name, std::int64_t most) const {
    std::vector<T> all(static_cast<std::size_t>(most));
    all.resize(static_cast<std::size_t>(read(name, detail::tag(T{}), most, all.data())));
    return all;
  }
  /// The only value of an attribute.
  template <class T>
  T value(cudnnBackendAttributeName_t name) const {
    T one{};
    read(name, detail::tag(T{}), 1, &one);
    return one;
  }
  /// At most `most` descriptors of an attribute; cuDNN fills descriptors that exist.
  std::vector<Descriptor> descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                      std::int64_t most) const {
    std::vector<Descriptor> all;
    std::vector<Handle> handles;
    for (std::int64_t i = 0; i < most; ++i) handles.push_back(all.emplace_back(type, "a result of " + what_).get());
    all.resize(static_cast<std::size_t>(read(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data())));
    return all;
  }
  /// The number of values of an attribute.
  std::int64_t count(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    return read(name, type, 0, nullptr);
  }

 private:
  /// Returns how many values the attribute has, if `most` is 0, else how many were read.
  std::int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most, void* values) const {
    std::int64_t found = 0;
    check(library().get_attribute(get(), name, type, most, &found, values),
          fmt::format("reading attribute {} of {}", static_cast<int>(name), what_));
    return most == 0 ? found : std::min(found, most);
  }

  struct Destroy {
    void operator()(Handle handle) const noexcept { library().destroy_descriptor(handle); }
  };
  std::unique_ptr<void, Destroy> handle_;
  std::string what_;
};

}  // namespace apam::kernels::cudnn
