#include "kernels/onednn/call.h"

#include <algorithm>

namespace apam::kernels::onednn {
namespace {

constexpr std::size_t kLine = 64;  // parts of the workspace start on cache lines

std::size_t whole_lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

// oneDNN's handles are not const, not even those of inputs.
void* handle(In values) { return const_cast<std::byte*>(values.bytes()); }

DType type_of(const dnnl::memory::desc& layout) {
  return data_type_of(layout) == dnnl::memory::data_type::bf16 ? DType::bfloat16 : DType::float32;
}

dnnl::memory unbound(const dnnl::memory::desc& layout, const dnnl::engine& engine) {
  return {layout, engine, DNNL_MEMORY_NONE};
}

}  // namespace

Call::Call(Exec& exec, std::string what, const dnnl::primitive_desc_base& description, const std::vector<Operand>& inputs,
           const std::vector<Operand>& outputs, Accumulates accumulates)
    : what_(std::move(what)), library_(exec.cache<Library>()), threads_(exec.threads()) {
  main_ = step(description, {});
  const auto slot_of = [this](const Operand& operand) {
    Slot slot{unbound(operand.caller, library_.engine),
              unbound(operand.internal, library_.engine),
              type_of(operand.caller),
              0,
              {},
              {}};
    main_.arguments.insert({operand.argument, slot.internal});
    return slot;
  };
  for (const Operand& operand : inputs) {
    Slot& slot = inputs_.emplace_back(slot_of(operand));
    if (operand.caller != operand.internal) slot.convert = conversion(slot.caller, slot.internal, false);
  }
  for (const Operand& operand : outputs) {
    Slot& slot = outputs_.emplace_back(slot_of(operand));
    if (operand.caller != operand.internal) slot.convert = conversion(slot.internal, slot.caller, false);
    if (accumulates == Accumulates::yes) slot.add = conversion(slot.internal, slot.caller, true);
  }

  for (const auto& scratch : scratches_) {
    workspace_bytes_ = std::max(workspace_bytes_, whole_lines(scratch.get_desc().get_size()));
  }
  const auto place = [this](Slot& slot) {
    slot.offset = workspace_bytes_;
    workspace_bytes_ += whole_lines(slot.internal.get_desc().get_size());
  };
  for (auto* slots : {&inputs_, &outputs_}) {
    for (Slot& slot : *slots) {
      if (slot.convert || slot.add) place(slot);
    }
  }
  exec.reserve_workspace(workspace_bytes_);
}

Call::Step Call::step(const dnnl::primitive_desc_base& description, std::unordered_map<int, dnnl::memory> arguments) {
  scratches_.push_back(unbound(description.scratchpad_desc(), library_.engine));
  arguments.insert({DNNL_ARG_SCRATCHPAD, scratches_.back()});
  return {dnnl::primitive(description.get()), std::move(arguments)};
}

Call::Step Call::conversion(const dnnl::memory& from, const dnnl::memory& to, bool adding) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops sum;
  if (adding) sum.append_sum(1.0F);
  attributes.set_post_ops(sum);
  return step(dnnl::reorder::primitive_desc(from, to, attributes), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

void Call::run(Exec& exec, std::initializer_list<In> inputs, std::initializer_list<Result> outputs) {
  const LibraryThreads threads(threads_);
  std::byte* workspace = exec.workspace(workspace_bytes_);
  try {
    run_steps(workspace, inputs, outputs);
  } catch (const dnnl::error& error) {
    fail<DeviceError>("{}: oneDNN: {}", what_, error.what());
  }
}

void Call::require_type(DType type, In operand) const {
  require<TypeError>(operand.type() == type, "{}: an operand is {}, expected {}", what_, to_string(operand.type()),
                     to_string(type));
}

void Call::run_steps(std::byte* workspace, std::initializer_list<In> inputs, std::initializer_list<Result> outputs) {
  const auto execute = [this](const Step& step) { step.primitive.execute(library_.stream, step.arguments); };
  for (const auto& scratch : scratches_) scratch.set_data_handle(workspace);

  const In* input = inputs.begin();
  for (const Slot& slot : inputs_) {
    require_type(slot.type, *input);
    slot.caller.set_data_handle(handle(*input));
    slot.internal.set_data_handle(slot.convert ? workspace + slot.offset : handle(*input));
    if (slot.convert) execute(*slot.convert);
    ++input;
  }
  const auto after = [](const Slot& slot, Write write) -> const std::optional<Step>& {
    return write == Write::add ? slot.add : slot.convert;
  };
  const Result* output = outputs.begin();
  for (const Slot& slot : outputs_) {
    require_type(slot.type, output->values);
    slot.caller.set_data_handle(output->values.bytes());
    slot.internal.set_data_handle(after(slot, output->write) ? workspace + slot.offset : handle(output->values));
    ++output;
  }
  execute(main_);
  output = outputs.begin();
  for (const Slot& slot : outputs_) {
    if (const auto& last = after(slot, output->write)) execute(*last);
    ++output;
  }
  library_.stream.wait();
}

}  // namespace apam::kernels::onednn
