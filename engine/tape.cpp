#include "engine/tape.h"

#include "kernels/ops/add.h"

namespace apam::engine {
namespace {

constexpr int kReported = -1;  // in Usage::expected: on_gradient_ready has been called

}  // namespace

Var::Var(detail::Variable* variable) : variable_(variable) { ++variable_->handles; }
Var::Var(const Var& other) : variable_(other.variable_) {
  if (variable_ != nullptr) ++variable_->handles;
}
Var::~Var() {
  if (variable_ != nullptr) variable_->tape->release_value(variable_);
}

Edge::Edge(const Var& value) : variable_(value.variable_) { ++variable_->edges; }
Edge::~Edge() {
  if (variable_ != nullptr) variable_->tape->release_edge(variable_);
}

Tape::Tape(Exec& exec, const ParameterArena& parameters)
    : exec_(exec), parameters_(parameters), arena_(exec.device()), usage_(parameters.layout().parameters().size()) {}

Tape::~Tape() { begin(Mode::inference); }

void Tape::begin(Mode mode) {
  while (!nodes_.empty()) {
    destroy(nodes_.back());
    nodes_.pop_back();
  }
  for (auto& usage : usage_) usage = {};
  mode_ = mode;
}

void Tape::destroy(const Entry& entry) {
  entry.node->~Node();
  node_memory_.deallocate(entry.node, entry.bytes, entry.alignment);
}

ActivationArena::Block Tape::take(std::size_t bytes) {
  return arena_.take(bytes, exec_.frozen() ? ActivationArena::Growth::refused : ActivationArena::Growth::allowed);
}

detail::Variable* Tape::new_variable() {
  if (free_variables_.empty()) {
    variables_.push_back(std::make_unique<detail::Variable>());
    free_variables_.reserve(variables_.size());
    free_variables_.push_back(variables_.back().get());
  }
  detail::Variable* variable = free_variables_.back();
  free_variables_.pop_back();
  *variable = {};
  variable->tape = this;
  return variable;
}

detail::SharedBlock* Tape::new_shared_block(std::size_t bytes) {
  if (free_shared_blocks_.empty()) {
    shared_blocks_.push_back(std::make_unique<detail::SharedBlock>());
    free_shared_blocks_.reserve(shared_blocks_.size());
    free_shared_blocks_.push_back(shared_blocks_.back().get());
  }
  detail::SharedBlock* block = free_shared_blocks_.back();
  free_shared_blocks_.pop_back();
  *block = {take(bytes), 1};
  return block;
}

void Tape::release_value(detail::Variable* variable) {
  if (--variable->handles > 0) return;
  if (variable->block.valid()) arena_.give_back(std::exchange(variable->block, {}));
  if (variable->edges == 0) recycle(variable);
}

void Tape::release_edge(detail::Variable* variable) {
  if (--variable->edges == 0 && variable->handles == 0) recycle(variable);
}

void Tape::recycle(detail::Variable* variable) {
  if (variable->gradient != nullptr) release(std::exchange(variable->gradient, nullptr));
  free_variables_.push_back(variable);
}

void Tape::release(detail::SharedBlock* block) {
  if (--block->owners > 0) return;
  arena_.give_back(block->block);
  free_shared_blocks_.push_back(block);
}

Var Tape::input(const Tensor& value, bool needs_gradient) {
  detail::Variable* variable = new_variable();
  variable->value = value;
  variable->needs_gradient = needs_gradient;
  return Var(variable);
}

Var Tape::make(const Shape& shape, DType type, bool needs_gradient) {
  detail::Variable* variable = new_variable();
  variable->block = take(shape.size() * size_of(type));
  variable->value = {shape, arena_.memory(variable->block, shape.size(), type)};
  variable->needs_gradient = needs_gradient && recording();
  return Var(variable);
}

kernels::Weights Tape::weights(ParameterId id) const {
  const ConstSpan<float> values = parameters_.weight_read(id).data;
  if (!reads_rounded_) return values;
  return {values, parameters_.rounded().values().subspan(parameters_.layout()[id].offset, values.size())};
}

void Tape::add_use(ParameterId id) { ++usage_.at(static_cast<std::size_t>(id.index)).expected; }

Out Tape::gradient_memory(const detail::Variable& variable) const {
  return arena_.memory(variable.gradient->block, variable.value.data.size(), variable.value.data.type());
}

In Tape::gradient(const detail::Variable& variable) const {
  require<KernelError>(variable.gradient != nullptr, "backward: a value of shape {} has no gradient", variable.value.shape);
  return gradient_memory(variable);
}

Tape::Sink Tape::sink(const Edge& input) {
  detail::Variable& variable = *input.variable_;
  const Out value = variable.value.data;
  if (variable.gradient == nullptr) {
    variable.gradient = new_shared_block(value.size_bytes());
    return {gradient_memory(variable), kernels::Write::overwrite};
  }
  if (variable.gradient->owners > 1) {  // copy on write
    const In shared = gradient_memory(variable);
    detail::SharedBlock* own = new_shared_block(value.size_bytes());
    copy(exec_, shared, arena_.memory(own->block, value.size(), value.type()));
    release(std::exchange(variable.gradient, own));
  }
  return {gradient_memory(variable), kernels::Write::add};
}

Tape::Sink Tape::sink_in_place(const Edge& output, const Edge& input) {
  detail::Variable &from = *output.variable_, &to = *input.variable_;
  const bool sole_owner = from.gradient != nullptr && from.gradient->owners == 1;
  const bool alike = to.value.shape == from.value.shape && to.value.data.type() == from.value.data.type();
  if (!sole_owner || to.gradient != nullptr || !alike) return sink(input);
  to.gradient = std::exchange(from.gradient, nullptr);
  return {gradient_memory(to), kernels::Write::overwrite};
}

Tape::ParameterSink Tape::sink(ParameterId id) {
  auto& usage = usage_.at(static_cast<std::size_t>(id.index));
  const auto write = usage.written == 0 ? kernels::Write::overwrite : kernels::Write::add;
  ++usage.written;
  return {parameters_.gradient(id).data, write};
}

void Tape::pass_on(const Edge& output, const Edge& input) {
  if (!input.needs_gradient()) return;
  detail::Variable& to = *input.variable_;
  const In dy = gradient(output);
  if (to.gradient == nullptr) {
    to.gradient = output.variable_->gradient;
    ++to.gradient->owners;
    return;
  }
  const Out sum = sink(input).data;
  const kernels::Add::Problem problem{static_cast<std::int64_t>(sum.size()), sum.type()};
  kernels::kernel<kernels::Add>(exec_, problem, kernels::Add::Pass::forward)->forward(exec_, sum, dy, sum);
}

void Tape::backward() {
  require<KernelError>(recording(), "backward: the pass was not started in training mode");
  while (!nodes_.empty()) {
    nodes_.back().node->backward(*this);
    destroy(nodes_.back());
    nodes_.pop_back();
    if (!ready_) continue;
    for (std::size_t i = 0; i < usage_.size(); ++i) {
      auto& usage = usage_[i];
      if (usage.written == 0 || usage.written != usage.expected) continue;
      usage.expected = kReported;
      ready_({static_cast<int>(i)});
    }
  }
  // The remaining parameters have uses that the loss does not depend on.
  for (std::size_t i = 0; i < usage_.size(); ++i) {
    const ParameterId id{static_cast<int>(i)};
    if (usage_[i].written == 0) zero(exec_, parameters_.gradient(id).data);
    if (ready_ && usage_[i].expected != kReported) ready_(id);
  }
}

}  // namespace apam::engine
