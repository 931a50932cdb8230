// Reverse-mode automatic differentiation.
//
// Forward: each operation computes its output and records a Node. Backward: backward() runs the nodes in reverse order and
// deletes each after it has run.
//
// Memory: a Var is a reference-counted handle to a value, held by the net's code and by nodes whose backward reads the value.
// The last Var returns the memory to the arena, so the peak of a step is what backward needs. A node that needs only a gradient
// holds an Edge, which keeps no value alive. Parameter gradients are written directly to the flat ParameterArena.
#pragma once

#include <functional>
#include <memory>
#include <memory_resource>
#include <utility>
#include <vector>

#include "engine/activation_arena.h"
#include "engine/parameters.h"
#include "engine/tensor.h"
#include "kernels/ops/kernel.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

class Tape;

namespace detail {

/// A block that several gradients share until one of them is written to (copy on write).
struct SharedBlock {
  ActivationArena::Block block;
  int owners = 0;
};

/// A value and its gradient: the target of Vars and Edges.
struct Variable {
  Tape* tape = nullptr;
  Tensor value;
  ActivationArena::Block block;     // of the value; invalid: the caller owns the memory
  SharedBlock* gradient = nullptr;  // null until the first contribution in backward
  int handles = 0;                  // Vars; the value is freed with the last one
  int edges = 0;                    // Edges; they keep the gradient, not the value
  bool needs_gradient = false;
};

}  // namespace detail

/// A handle to a value on a tape. Copies share the value. Must not outlive the tape.
class Var {
 public:
  Var() = default;
  Var(const Var& other);
  Var(Var&& other) noexcept : variable_(std::exchange(other.variable_, nullptr)) {}
  Var& operator=(Var other) noexcept {
    std::swap(variable_, other.variable_);
    return *this;
  }
  ~Var();

  bool valid() const { return variable_ != nullptr; }
  const Shape& shape() const { return variable_->value.shape; }
  DType type() const { return variable_->value.data.type(); }
  const Tensor& tensor() const { return variable_->value; }
  In data() const { return variable_->value.data; }
  /// The elements of a float32 value. Throws TypeError for another type.
  Span<float> floats() const { return variable_->value.data.as<float>("tape: a float32 value"); }
  bool needs_gradient() const { return variable_->needs_gradient; }
  Tape& tape() const { return *variable_->tape; }

 private:
  friend class Edge;
  friend class Tape;
  explicit Var(detail::Variable* variable);
  detail::Variable* variable_ = nullptr;
};

/// A node's reference to the gradient of its output or of an input. Does not keep the value alive. Move-only.
class Edge {
 public:
  explicit Edge(const Var& value);
  Edge(Edge&& other) noexcept : variable_(std::exchange(other.variable_, nullptr)) {}
  Edge& operator=(Edge&&) = delete;
  ~Edge();

  bool needs_gradient() const { return variable_->needs_gradient; }

 private:
  friend class Tape;
  detail::Variable* variable_;
};

/// A recorded operation. Holds a Var for each value and an Edge for each gradient that its backward accesses.
class Node {
 public:
  virtual ~Node() = default;
  /// Reads the gradient of the output; writes the gradients of inputs and parameters.
  virtual void backward(Tape& tape) = 0;
};

enum class Mode : std::uint8_t {
  training,     ///< batch norm uses batch statistics; nodes are recorded
  inference,    ///< batch norm uses running statistics; nothing is recorded
  calibration,  ///< batch norm uses and leaves batch statistics, as in training; nothing is recorded
};

class Tape {
 public:
  /// `exec` and `parameters` must outlive the tape.
  Tape(Exec& exec, const ParameterArena& parameters);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Starts a pass. Drops the nodes of an unfinished one.
  void begin(Mode mode);
  Mode mode() const { return mode_; }
  bool recording() const { return mode_ == Mode::training; }
  Exec& exec() const { return exec_; }
  const ParameterArena& parameters() const { return parameters_; }
  const ActivationArena& arena() const { return arena_; }
  /// Products read the arena's rounded weights too. The caller keeps them current (RoundedWeights::refresh) in every pass.
  void read_rounded_weights() { reads_rounded_ = true; }

  /// The weights of a product.
  kernels::Weights weights(ParameterId id) const;

  // ---- for operations, in forward
  /// A value in the caller's memory, which must stay unchanged until backward has run.
  Var input(const Tensor& value, bool needs_gradient = false);
  /// A value in uninitialised arena memory. Needs a gradient only while recording(). Gradients have the type of their value.
  Var make(const Shape& shape, DType type, bool needs_gradient);
  /// Private memory of a node (saved statistics, probabilities).
  Var scratch(const Shape& shape, DType type = DType::float32) { return make(shape, type, false); }

  /// Appends a node. Call only while recording().
  template <class N, class... Args>
  void record(Args&&... args) {
    std::pmr::polymorphic_allocator<> memory(&node_memory_);
    nodes_.push_back({memory.new_object<N>(std::forward<Args>(args)...), sizeof(N), alignof(N)});
  }
  /// Declares that the next node contributes to this parameter's gradient, which is complete after all declared contributions.
  void add_use(ParameterId id);
  /// Calls of add_use() in this pass.
  int use_count(ParameterId id) const { return usage_.at(static_cast<std::size_t>(id.index)).expected; }

  // ---- for operations, in backward
  /// The destination of a gradient contribution.
  struct Sink {
    Out data;
    kernels::Write write = kernels::Write::overwrite;
  };
  /// The gradient of a node's output. Throws KernelError if it has none.
  In gradient(const Edge& output) const { return gradient(*output.variable_); }
  /// False if the loss does not depend on the output: the node's backward must return at once.
  bool has_gradient(const Edge& output) const { return output.variable_->gradient != nullptr; }
  /// The destination of a contribution to the gradient of `input`: overwrite for the first contribution, add for later ones.
  Sink sink(const Edge& input);
  /// Like sink(input), but reuses the memory of the output's gradient in place if this node is its only owner. The output then
  /// has no gradient any more. Only for nodes that finish reading each element before writing it.
  Sink sink_in_place(const Edge& output, const Edge& input);
  struct ParameterSink {
    Span<float> data;
    kernels::Write write = kernels::Write::overwrite;
  };
  /// The destination of a contribution to a parameter's gradient: overwrite for the first of a pass, add for later ones.
  ParameterSink sink(ParameterId id);
  /// Adds the gradient of `output` to that of `input`. A first contribution shares the memory, copy on write.
  void pass_on(const Edge& output, const Edge& input);

  /// Writes d loss / d parameter to parameters().gradients() for all parameters; zero for unused ones. Frees each value as soon
  /// as no remaining node needs it.
  void backward();

  /// The gradient of an input() with needs_gradient, valid while the Var lives. Throws KernelError if it has none.
  In gradient(const Var& input) const { return gradient(*input.variable_); }

  /// backward() calls this once per parameter, when its gradient is complete, so that an exchange can send it early.
  void on_gradient_ready(std::function<void(ParameterId)> callback) { ready_ = std::move(callback); }

 private:
  friend class Var;
  friend class Edge;
  struct Entry {
    Node* node;
    std::size_t bytes, alignment;
  };
  struct Usage {  // contributions to a parameter's gradient
    int expected = 0, written = 0;
  };

  void release_value(detail::Variable* variable);
  void release_edge(detail::Variable* variable);
  void recycle(detail::Variable* variable);
  void release(detail::SharedBlock* block);
  In gradient(const detail::Variable& variable) const;
  ActivationArena::Block take(std::size_t bytes);
  detail::Variable* new_variable();
  detail::SharedBlock* new_shared_block(std::size_t bytes);
  void destroy(const Entry& entry);
  Out gradient_memory(const detail::Variable& variable) const;

  Exec& exec_;
  const ParameterArena& parameters_;
  ActivationArena arena_;
  Mode mode_ = Mode::inference;
  bool reads_rounded_ = false;
  std::pmr::unsynchronized_pool_resource node_memory_;
  std::vector<Entry> nodes_;
  std::vector<std::unique_ptr<detail::Variable>> variables_;
  std::vector<detail::Variable*> free_variables_;
  std::vector<std::unique_ptr<detail::SharedBlock>> shared_blocks_;
  std::vector<detail::SharedBlock*> free_shared_blocks_;
  std::vector<Usage> usage_;  // by parameter
  std::function<void(ParameterId)> ready_;
};

}  // namespace apam::engine
