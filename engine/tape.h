// Reverse-mode differentiation. Operations record nodes as they run; backward() walks the nodes in reverse and deletes each
// when it has run. A Var is a counted handle: a value's memory returns to the arena when neither the net's code nor a node
// that needs it for backward holds it any longer. So the peak of a step is what backward truly needs, and the same blocks
// serve every step. The gradient of a parameter goes straight to its window in the flat arena.
#pragma once

#include <functional>
#include <memory>
#include <memory_resource>
#include <utility>
#include <vector>

#include "engine/activation_arena.h"
#include "engine/parameters.h"
#include "kernels/ops/kernel.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

class Tape;

namespace detail {

/// Memory of the arena that several gradients may share until one of them is written to.
struct SharedBlock {
  ActivationArena::Block block;
  int owners = 0;
};

struct Variable {
  Tape* tape = nullptr;
  Tensor value;
  ActivationArena::Block block;     // invalid: the memory belongs to the caller
  SharedBlock* gradient = nullptr;  // during backward, from the first contribution on
  int handles = 0;                  // Vars: they keep the value
  int edges = 0;                    // Edges: they keep the gradient's place alone
  bool needs_gradient = false;
};

}  // namespace detail

/// A handle to a value on a tape. Copies share the value. Must not outlive its tape.
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
  const Tensor& tensor() const { return variable_->value; }
  In data() const { return variable_->value.data; }
  bool needs_gradient() const { return variable_->needs_gradient; }
  Tape& tape() const { return *variable_->tape; }

 private:
  friend class Edge;
  friend class Tape;
  explicit Var(detail::Variable* variable);
  detail::Variable* variable_ = nullptr;
};

/// A node's link to the gradient of its output or of an input. Unlike a Var it does not keep the value's memory. Move-only.
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

/// One recorded operation. It holds Vars whose values its backward reads, and Edges for the gradients it reads and writes.
class Node {
 public:
  virtual ~Node() = default;
  /// Reads the gradient of its output, writes the gradients of its inputs and parameters.
  virtual void backward(Tape& tape) = 0;
};

/// What a forward pass is for.
enum class Mode : std::uint8_t {
  training,   ///< batch statistics; records nodes
  inference,  ///< running statistics; records nothing
};

class Tape {
 public:
  /// Exec and parameters must outlive the tape.
  Tape(Exec& exec, const ParameterArena& parameters);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Starts a pass: drops what an unfinished one left behind.
  void begin(Mode mode);
  Mode mode() const { return mode_; }
  bool recording() const { return mode_ == Mode::training; }
  Exec& exec() const { return exec_; }
  const ParameterArena& parameters() const { return parameters_; }
  const ActivationArena& arena() const { return arena_; }

  // ---- for operations, going forward
  /// A value of the caller's memory, which must stay as it is until backward has run. No gradient flows to it unless asked.
  Var input(const Tensor& value, bool needs_gradient = false);
  /// A new value with memory from the arena, not initialised.
  Var make(const Shape& shape, bool needs_gradient);
  /// Memory for a tensor that a node keeps to itself (saved statistics, probabilities).
  Var scratch(const Shape& shape) { return make(shape, false); }

  /// Adds a node. Call only while recording().
  template <class N, class... Args>
  void record(Args&&... args) {
    std::pmr::polymorphic_allocator<> memory(&node_memory_);
    nodes_.push_back({memory.new_object<N>(std::forward<Args>(args)...), sizeof(N), alignof(N)});
  }
  /// Announces that the node about to be recorded will write this parameter's gradient.
  void uses(ParameterId id);
  /// How many nodes of this pass have announced that they will.
  int uses_of(ParameterId id) const { return usage_.at(static_cast<std::size_t>(id.index)).expected; }

  // ---- for operations, going backward
  struct Sink {
    Out data;
    kernels::Write write = kernels::Write::overwrite;
  };
  /// The gradient of a node's output. Throws KernelError when nothing contributed to it.
  In gradient(const Edge& output) const { return gradient(*output.variable_); }
  /// False where the loss does not depend on a node's output: the node then has nothing to do.
  bool has_gradient(const Edge& output) const { return output.variable_->gradient != nullptr; }
  /// Where a contribution to the gradient of `input` goes: fresh memory to overwrite, or what others left, to add to.
  Sink sink(const Edge& input);
  /// As sink(input), for a node that reads an element of its output's gradient for the last time before it writes that
  /// element of its input's: the memory of the one, where nobody else needs it, becomes that of the other. `output` has no
  /// gradient afterwards if so.
  Sink sink_over(const Edge& output, const Edge& input);
  /// Where a parameter's gradient goes. The first contribution of a backward pass overwrites.
  Sink sink(ParameterId id);
  /// Passes the gradient of `output` on to `input` as it is, sharing its memory until one of the two is written to.
  void pass_on(const Edge& output, const Edge& input);

  /// Runs backward from the recorded loss to all parameters; gradients() then holds the whole gradient, zero where a
  /// parameter was not used. Values that only backward needed are freed on the way.
  void backward();

  /// The gradient of an input() that asked for one, valid as long as the Var. Throws KernelError when it has none.
  In gradient(const Var& input) const { return gradient(*input.variable_); }

  /// Called during backward() when a parameter's gradient is complete, so that an exchange can send it early.
  void on_gradient_ready(std::function<void(ParameterId)> callback) { ready_ = std::move(callback); }

 private:
  friend class Var;
  friend class Edge;
  struct Entry {
    Node* node;
    std::size_t bytes, alignment;
  };
  struct Usage {
    int expected = 0, written = 0;
  };

  void release_value(detail::Variable* variable);
  void release_edge(detail::Variable* variable);
  void recycle(detail::Variable* variable);
  void release(detail::SharedBlock* block);
  In gradient(const detail::Variable& variable) const;
  detail::Variable* new_variable();
  detail::SharedBlock* new_shared_block(std::size_t count);
  void destroy(const Entry& entry);
  Out gradient_memory(const detail::Variable& variable) const;

  Exec& exec_;
  const ParameterArena& parameters_;
  ActivationArena arena_;
  Mode mode_ = Mode::inference;
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
