// The flat memory of a model. Weights, gradients and batch norm statistics are one span each; layers hold ids of windows in
// them. So an optimizer step, a checkpoint, a message or an all-reduce is one call on one span.
//
//   state    = [ weights | running statistics ]      in checkpoints; all that evaluation needs
//   outgoing = [ gradients | batch statistics ]      the contribution of one mini-batch; sent by workers
//   rounded  = [ weights ] in bfloat16               on a GPU only, if steps read it (rounded_weights.h)
//
// Windows are aligned to 64 bytes. The padding between them is always zero.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/rounded_weights.h"
#include "engine/shape.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

struct ParameterId {
  int index = -1;
  friend bool operator==(ParameterId, ParameterId) = default;
};

/// The running mean and variance of one batch norm. Invalid for a layer without running statistics.
struct StatisticsId {
  int index = -1;
  bool valid() const { return index >= 0; }
};

/// The initial distribution of a parameter.
struct Initializer {
  enum class Kind : std::uint8_t { constant, uniform, normal };
  Kind kind = Kind::constant;
  float scale = 0.0F;  ///< the constant, the bound of U(-scale, scale), or the standard deviation of N(0, scale^2)

  static Initializer constant(float value) { return {Kind::constant, value}; }
  static Initializer uniform(float bound) { return {Kind::uniform, bound}; }
  static Initializer normal(float deviation) { return {Kind::normal, deviation}; }
};

/// Names, shapes and offsets of a model's parameters, in the order of PyTorch's state_dict. Owns no memory.
class ParameterLayout {
 public:
  struct Parameter {
    std::string name;  ///< as in PyTorch: "layer1.0.conv1.weight"
    Shape shape;       ///< convolutions (K, R, S, C), linear (K, C), vectors (C)
    Initializer initial;
    std::size_t offset;  ///< in floats from the start of the weights
  };
  struct Statistics {
    std::string name;  ///< prefix of .running_mean and .running_var: "layer1.0.bn1"
    int channels;
    std::size_t mean_offset, variance_offset;  ///< in floats from the start of the statistics
    std::size_t parameters_before;             ///< number of parameters that precede it in the state_dict
  };

  /// Both throw InputError for a name that already exists.
  ParameterId add(std::string name, const Shape& shape, Initializer initial);
  StatisticsId add_statistics(std::string name, int channels);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<Statistics>& statistics() const { return statistics_; }
  const Parameter& operator[](ParameterId id) const { return parameters_.at(static_cast<std::size_t>(id.index)); }
  const Statistics& operator[](StatisticsId id) const { return statistics_.at(static_cast<std::size_t>(id.index)); }

  /// Number of parameters as papers count them, without padding.
  std::size_t parameter_count() const;
  /// Size of the flat spans in floats, padding included.
  std::size_t weights_size() const { return weights_size_; }
  std::size_t statistics_size() const { return statistics_size_; }

 private:
  std::vector<Parameter> parameters_;
  std::vector<Statistics> statistics_;
  std::size_t weights_size_ = 0;
  std::size_t statistics_size_ = 0;
};

/// One parameter's weights or gradient.
struct ParameterView {
  Shape shape;
  Span<float> data;
};

/// Owns the flat memory of one copy of a model.
class ParameterArena {
 public:
  enum class Contents : std::uint8_t { state, state_and_outgoing };

  /// Zero weights, gradients and batch statistics; running means 0, running variances 1.
  ParameterArena(Device device, ParameterLayout layout, Contents contents = Contents::state_and_outgoing);

  const ParameterLayout& layout() const { return layout_; }
  Device device() const { return state_.device(); }

  Span<float> state() const { return state_.as<float>(); }        // (weights_size + statistics_size)
  Span<float> outgoing() const { return outgoing_.as<float>(); }  // the same size; empty for Contents::state
  Span<float> weights() const { return state().subspan(0, layout_.weights_size()); }
  Span<float> running_statistics() const { return state().subspan(layout_.weights_size(), layout_.statistics_size()); }
  Span<float> gradients() const { return outgoing().subspan(0, layout_.weights_size()); }
  Span<float> batch_statistics() const { return outgoing().subspan(layout_.weights_size(), layout_.statistics_size()); }

  /// The weights rounded to bfloat16.
  RoundedWeights& rounded() const { return *rounded_; }

  ParameterView weight(ParameterId id) const;
  ParameterView gradient(ParameterId id) const;
  struct Moments {
    Span<float> mean, variance;  // (C)
  };
  Moments running(StatisticsId id) const;
  Moments batch(StatisticsId id) const;

  /// Draws every parameter from its initializer, with Philox. The values depend only on the seed and the parameter's index in
  /// the layout. Resets running means to 0 and variances to 1.
  void initialize(std::uint64_t seed) const;

 private:
  void reset_running_statistics() const;  // means 0, variances 1

  ParameterLayout layout_;
  Buffer state_, outgoing_;
  std::unique_ptr<RoundedWeights> rounded_;
};

/// The PyTorch name ("conv1.weight", "bn1.running_var") of the tensor that has element `index` of the state.
std::string tensor_at(const ParameterLayout& layout, std::size_t index);

/// The PyTorch name ("conv1.weight", "bn1.running_var") of the first tensor of `state` = [ weights | running statistics ] that
/// contains NaN or an infinity, if any. State on a GPU is copied to the host first; waits for the Exec's work.
std::optional<std::string> non_finite_tensor(Exec& exec, const ParameterLayout& layout, ConstSpan<float> state);

}  // namespace apam::engine
