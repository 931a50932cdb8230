// The flat memory of a model. All weights are one span, all gradients one, all batch-norm statistics one; layers hold ids
// of windows into them. So an optimizer step, a checkpoint, a message or an all-reduce is one call over one span.
//
//   state    = [ weights | running statistics ]      what a checkpoint holds and an evaluation needs
//   outgoing = [ gradients | batch statistics ]      what one mini-batch contributes; what a worker sends
//
// Every window starts at a multiple of 64 bytes; the padding between is zero and stays zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

struct ParameterId {
  int index = -1;
  friend bool operator==(ParameterId, ParameterId) = default;
};

/// The running mean and variance of one batch norm. An invalid id: the layer keeps none.
struct StatisticsId {
  int index = -1;
  bool valid() const { return index >= 0; }
};

/// How a parameter starts out.
struct Initializer {
  enum class Kind : std::uint8_t { constant, uniform, normal };
  Kind kind = Kind::constant;
  float scale = 0.0F;  ///< the constant, the bound of U(-scale, scale), or the deviation of N(0, scale^2)

  static Initializer constant(float value) { return {Kind::constant, value}; }
  static Initializer uniform(float bound) { return {Kind::uniform, bound}; }
  static Initializer normal(float deviation) { return {Kind::normal, deviation}; }
};

/// The names, shapes and places of a model's parameters, in the order of PyTorch's state_dict; no memory.
class ParameterLayout {
 public:
  struct Parameter {
    std::string name;  ///< PyTorch's: "layer1.0.conv1.weight"
    Shape shape;       ///< ours: convolutions (K, R, S, C), linear (K, C), vectors (C)
    Initializer initial;
    std::size_t offset;  ///< in floats from the start of the weights
  };
  struct Statistics {
    std::string name;  ///< PyTorch's prefix: "layer1.0.bn1"; holds .running_mean and .running_var
    int channels;
    std::size_t mean_offset, variance_offset;  ///< in floats from the start of the statistics
    std::size_t after;                         ///< parameters that come before it in the state_dict
  };

  /// Names must be unique: throws InputError otherwise.
  ParameterId add(std::string name, const Shape& shape, Initializer initial);
  StatisticsId add_statistics(std::string name, int channels);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<Statistics>& statistics() const { return statistics_; }
  const Parameter& operator[](ParameterId id) const { return parameters_.at(static_cast<std::size_t>(id.index)); }
  const Statistics& operator[](StatisticsId id) const { return statistics_.at(static_cast<std::size_t>(id.index)); }

  /// Elements of all parameters, without padding: what a paper calls the size of the model.
  std::size_t parameter_count() const;
  /// Floats of the flat spans, padding included.
  std::size_t weights_size() const { return weights_size_; }
  std::size_t statistics_size() const { return statistics_size_; }

 private:
  std::vector<Parameter> parameters_;
  std::vector<Statistics> statistics_;
  std::size_t weights_size_ = 0;
  std::size_t statistics_size_ = 0;
};

/// Owns the flat memory of one copy of a model.
class ParameterArena {
 public:
  enum class Contents : std::uint8_t { state, state_and_outgoing };

  /// Zero weights, gradients and batch statistics; running means 0, running variances 1.
  ParameterArena(Device device, ParameterLayout layout, Contents contents = Contents::state_and_outgoing);

  const ParameterLayout& layout() const { return layout_; }
  Device device() const { return state_.device(); }

  Out state() const { return state_.as<float>(); }        // (weights_size + statistics_size)
  Out outgoing() const { return outgoing_.as<float>(); }  // the same size; empty when the arena holds state alone
  Out weights() const { return state().subspan(0, layout_.weights_size()); }
  Out running_statistics() const { return state().subspan(layout_.weights_size(), layout_.statistics_size()); }
  Out gradients() const { return outgoing().subspan(0, layout_.weights_size()); }
  Out batch_statistics() const { return outgoing().subspan(layout_.weights_size(), layout_.statistics_size()); }

  Tensor weight(ParameterId id) const;
  Tensor gradient(ParameterId id) const;
  struct Moments {
    Out mean, variance;  // (C)
  };
  Moments running(StatisticsId id) const;
  Moments batch(StatisticsId id) const;

  /// Draws every parameter from its initializer: Philox keyed by seed and the parameter's place, so that the values depend
  /// on nothing else. Running statistics return to 0 and 1.
  void initialize(std::uint64_t seed) const;

 private:
  ParameterLayout layout_;
  Buffer state_, outgoing_;
};

/// What in a state, [ weights | running statistics ] of `layout`, is NaN or infinite: the name of the first such tensor, in
/// PyTorch's words ("conv1.weight", "bn1.running_var"), or nothing. Memory of the CPU only.
std::optional<std::string> non_finite_tensor(Exec& exec, const ParameterLayout& layout, In state);

}  // namespace apam::engine
