// The flat memory of a model. Weights, gradients and batch norm statistics are one span each; layers hold ids of windows in
// them. So an optimizer step, a checkpoint, a message or an all-reduce is one call on one span.
//
//   state    = [ weights | running statistics ]      in checkpoints; all that evaluation needs
//   outgoing = [ gradients | batch statistics ]      the contribution of one mini-batch; sent by workers
//   rounded  = [ weights ] in bfloat16               on a GPU only, if steps read it (rounded_weights.h)
//
// Windows are aligned to 64 bytes. The padding between them is always zero.
//
// An arena owns both, or borrows: layers then read weights where someone else keeps them (a published version in shared memory)
// and write the contribution where someone else reads it, so that neither is ever copied.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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
/// One parameter's weights, for layers.
struct ConstParameterView {
  Shape shape;
  ConstSpan<float> data;
};

/// The flat memory of one copy of a model. Move-only.
class ParameterArena {
 public:
  enum class Contents : std::uint8_t {
    state,
    state_and_outgoing,
    none,  ///< all is borrowed: use_outgoing() and read_weights_from() before the first step
  };

  /// Zero weights, gradients and batch statistics; running means 0, running variances 1.
  ParameterArena(Device device, ParameterLayout layout, Contents contents = Contents::state_and_outgoing);

  /// From now on the contribution is in `outgoing` (state size), which must outlive the arena; its own memory for it is
  /// released. Sets all of it to zero: steps write the windows and never the padding between them. Only before the first step.
  /// Throws ShapeError for another size, DeviceError for memory of another device or that is not aligned to 64 bytes.
  void use_outgoing(Span<float> outgoing);

  /// From now on layers read their weights in `weights` (weights_size), which must stay unchanged while a step runs; weights()
  /// remains the arena's own. Throws ShapeError for another size; DeviceError for memory of another device or that is not
  /// aligned to 64 bytes, and on a GPU, where recorded graphs have the address of the arena's own memory, for any other.
  void read_weights_from(ConstSpan<float> weights) const;

  /// From now on steps write their contribution to `outgoing` (state size), whose padding must be zero; the arena keeps its own
  /// memory. For a caller that still reads the contribution before. Not during a step. Throws like read_weights_from().
  void write_outgoing_to(Span<float> outgoing) const;

  const ParameterLayout& layout() const { return layout_; }
  Device device() const { return device_; }

  Span<float> state() const { return state_.as<float>(); }  // (weights_size + statistics_size); empty for Contents::none
  Span<float> outgoing() const { return outgoing_; }        // the same size; empty if it has none
  Span<float> weights() const { return state().subspan(0, layout_.weights_size()); }
  Span<float> running_statistics() const { return state().subspan(layout_.weights_size(), layout_.statistics_size()); }
  Span<float> gradients() const { return outgoing().subspan(0, layout_.weights_size()); }
  Span<float> batch_statistics() const { return outgoing().subspan(layout_.weights_size(), layout_.statistics_size()); }

  /// The weights rounded to bfloat16.
  RoundedWeights& rounded() const { return *rounded_; }

  ParameterView weight(ParameterId id) const;
  ParameterView gradient(ParameterId id) const;

  /// What layers read: the arena's own weights, unless read_weights_from() has named others.
  ConstSpan<float> weights_read() const { return weights_read_; }
  ConstParameterView weight_read(ParameterId id) const;

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
  void require_usable(ConstSpan<float> memory, std::size_t size, std::string_view what) const;

  Device device_;
  ParameterLayout layout_;
  Buffer state_, own_outgoing_;
  // Places, like those that the spans of a const arena write to.
  mutable Span<float> outgoing_;
  mutable ConstSpan<float> weights_read_;
  std::unique_ptr<RoundedWeights> rounded_;
};

/// The PyTorch name ("conv1.weight", "bn1.running_var") of the tensor that has element `index` of the state.
std::string tensor_at(const ParameterLayout& layout, std::size_t index);

/// The PyTorch name ("conv1.weight", "bn1.running_var") of the first tensor of `state` = [ weights | running statistics ] that
/// contains NaN or an infinity, if any. State on a GPU is copied to the host first; waits for the Exec's work.
std::optional<std::string> non_finite_tensor(Exec& exec, const ParameterLayout& layout, ConstSpan<float> state);

}  // namespace apam::engine
