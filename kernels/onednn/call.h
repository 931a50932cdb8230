// One oneDNN primitive as our kernels use it: made once for a problem together with its argument objects, then run on plain
// pointers. Where the primitive wants an operand in a layout of its own, or where a result is added to what is there (oneDNN
// only overwrites), the conversion before or after belongs to the call. A call keeps no data between runs: packed operands,
// results on their way, and the scratch memory of primitives lie in the workspace of the Exec.
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

/// oneDNN's handles, one pair in each Exec: exec.cache<Library>().
struct Library {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

/// An argument of a primitive (DNNL_ARG_...), and its layouts at the caller and at the primitive where they may differ.
struct Operand {
  Operand(int id, const dnnl::memory::desc& layout) : Operand(id, layout, layout) {}
  Operand(int id, const dnnl::memory::desc& at_caller, const dnnl::memory::desc& at_primitive)
      : argument(id), ours(at_caller), theirs(at_primitive) {}

  int argument;
  dnnl::memory::desc ours, theirs;
};

/// Where a result goes, and how.
struct Result {
  Out values;
  Write write = Write::overwrite;
};

/// Whether the results of a call may be asked for with Write::add.
enum class Accumulates : bool { no, yes };

class Call {
 public:
  Call() = default;
  /// `what` names operation and problem in errors. Throws dnnl::error, which make_kernel() translates.
  Call(Exec& exec, std::string what, const dnnl::primitive_desc_base& description, const std::vector<Operand>& inputs,
       const std::vector<Operand>& outputs, Accumulates accumulates = Accumulates::no);

  /// Runs on the operands, in the order in which they were listed. Throws DeviceError when oneDNN refuses.
  void run(Exec& exec, std::initializer_list<In> inputs, std::initializer_list<Result> outputs);

 private:
  /// A primitive with its arguments; copies of a memory object are the same object.
  struct Step {
    dnnl::primitive primitive;
    std::unordered_map<int, dnnl::memory> arguments;
  };
  struct Slot {
    dnnl::memory ours, theirs;
    std::size_t offset = 0;            // of `theirs` in the workspace, when it lies there
    std::optional<Step> convert, add;  // between `ours` and `theirs`; convert: none when the layouts are the same
  };

  Step step(const dnnl::primitive_desc_base& description, std::unordered_map<int, dnnl::memory> arguments);
  Step conversion(const dnnl::memory& from, const dnnl::memory& to, bool adding);
  void run_steps(std::byte* workspace, std::initializer_list<In> inputs, std::initializer_list<Result> outputs);

  std::string what_;
  Library library_;
  int threads_ = 1;  // for which the primitives are made: their scratch memory is no larger than these need
  Step main_;
  std::vector<Slot> inputs_, outputs_;
  std::vector<dnnl::memory> scratches_;  // of all steps; they run one after the other, so all lie at the workspace's start
  std::size_t workspace_bytes_ = 0;
};

/// A layout of float32 from dimensions as oneDNN orders them, and their order in memory.
inline dnnl::memory::desc layout(const dnnl::memory::dims& dimensions, dnnl::memory::format_tag order) {
  return {dimensions, dnnl::memory::data_type::f32, order};
}
inline dnnl::memory::desc vector_layout(std::int64_t size) { return layout({size}, dnnl::memory::format_tag::a); }

/// The name of an operation, a pass and a problem, for errors.
template <class Op>
std::string what(const typename Op::Problem& problem, typename Op::Pass pass) {
  return fmt::format("{}: {} of {}", Op::name, Op::pass_names[static_cast<std::size_t>(pass)], problem.describe());
}

/// Makes a kernel of the class in `ByPass` for `pass`, for as many threads as the Exec has: oneDNN settles how to divide the
/// work when it makes a primitive. Throws DeviceError when oneDNN refuses.
template <class Op, class... ByPass>
std::unique_ptr<typename Op::Kernel> make_kernel(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  const LibraryThreads threads(exec.threads());
  try {
    return make_by_pass<Op, ByPass...>(pass, exec, problem);
  } catch (const dnnl::error& error) {
    fail<DeviceError>("{}: oneDNN cannot prepare it: {}", what<Op>(problem, pass), error.what());
  }
}

}  // namespace apam::kernels::onednn
