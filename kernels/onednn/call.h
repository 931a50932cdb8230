// A oneDNN primitive with its argument objects, made once for a problem and then run on plain pointers. If the primitive needs
// an operand in another layout, or if a result is accumulated (oneDNN only overwrites), the call includes the conversion before
// or after. A call keeps no data between runs: packed operands, intermediate results and the scratch memory of primitives are
// in the workspace of the Exec.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/onednn/primitives.h"
#include "kernels/ops/operation.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::onednn {

/// oneDNN's engine and stream, one pair per Exec: exec.cache<Library>().
struct Library {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

/// An argument of a primitive (DNNL_ARG_...), with its layouts at the caller and in the primitive.
struct Operand {
  Operand(int id, const dnnl::memory::desc& layout) : Operand(id, layout, layout) {}
  Operand(int id, const dnnl::memory::desc& at_caller, const dnnl::memory::desc& at_primitive)
      : argument(id), caller(at_caller), internal(at_primitive) {}

  int argument;
  dnnl::memory::desc caller, internal;
};

/// The destination of a result.
struct Result {
  Out values;
  Write write = Write::overwrite;
};

/// Whether a call supports Write::add.
enum class Accumulates : bool { no, yes };

class Call {
 public:
  Call() = default;
  /// `what` names operation and problem in errors. Throws dnnl::error, which make_kernel() converts.
  Call(Exec& exec, std::string what, const dnnl::primitive_desc_base& description, const std::vector<Operand>& inputs,
       const std::vector<Operand>& outputs, Accumulates accumulates = Accumulates::no);

  /// Runs on operands in the order given to the constructor. Throws DeviceError if oneDNN fails.
  void run(Exec& exec, std::initializer_list<In> inputs, std::initializer_list<Result> outputs);

 private:
  /// A primitive with its arguments; copies of a memory object refer to the same object.
  struct Step {
    dnnl::primitive primitive;
    std::unordered_map<int, dnnl::memory> arguments;
  };
  struct Slot {
    dnnl::memory caller, internal;
    DType type;                        // at the caller
    std::size_t offset = 0;            // of `internal` in the workspace, if it is there
    std::optional<Step> convert, add;  // between `caller` and `internal`; convert: empty if the layouts are the same
  };

  Step step(const dnnl::primitive_desc_base& description, std::unordered_map<int, dnnl::memory> arguments);
  Step conversion(const dnnl::memory& from, const dnnl::memory& to, bool adding);
  void require_type(DType type, In operand) const;
  void run_steps(std::byte* workspace, std::initializer_list<In> inputs, std::initializer_list<Result> outputs);

  std::string what_;
  Library library_;
  int threads_ = 1;  // the primitives and their scratch memory are made for this number
  Step main_;
  std::vector<Slot> inputs_, outputs_;
  std::vector<dnnl::memory> scratches_;  // of all steps; these run one after the other, so all use the workspace's start
  std::size_t workspace_bytes_ = 0;
};

using Tag = dnnl::memory::format_tag;

/// A layout: dimensions in oneDNN's order, and their order in memory. `type` is float32 or bfloat16.
inline dnnl::memory::desc layout(const dnnl::memory::dims& dimensions, Tag order, DType type = DType::float32) {
  using Type = dnnl::memory::data_type;
  return {dimensions, type == DType::bfloat16 ? Type::bf16 : Type::f32, order};
}
inline dnnl::memory::desc vector_layout(std::int64_t size) { return layout({size}, Tag::a); }

/// The name of an operation, a pass and a problem, for errors.
template <class Op>
std::string what(const typename Op::Problem& problem, typename Op::Pass pass) {
  return fmt::format("{}: {} of {}", Op::name, Op::pass_names[static_cast<std::size_t>(pass)], problem.describe());
}

/// Makes a kernel of the class in `ByPass` for `pass`, for the Exec's number of threads: oneDNN decides how to divide the work
/// when it creates a primitive. Throws DeviceError if oneDNN fails.
template <class Op, class... ByPass>
std::unique_ptr<typename Op::Kernel> make_kernel(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  const LibraryThreads threads(exec.threads());
  try {
    return make_by_pass<Op, ByPass...>(pass, exec, problem);
  } catch (const dnnl::error& error) {
    fail<DeviceError>("{}: oneDNN cannot create the primitive: {}", what<Op>(problem, pass), error.what());
  }
}

}  // namespace apam::kernels::onednn
