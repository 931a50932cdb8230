#include "kernels/cpu/converted.h"

#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::size_t kLineBytes = 64;

std::size_t copy_bytes_of(std::size_t size) { return (size * sizeof(float) + kLineBytes - 1) / kLineBytes * kLineBytes; }

/// Float32 copies of the operands of one call, in the second scratch area of the Exec.
class FloatCopies {
 public:
  FloatCopies(Exec& exec, std::size_t bytes, const Isa& isa)
      : exec_(exec), free_(exec.operand_copies(bytes)), kernels_(isa.bfloat16.pointwise) {}

  /// An operand, converted.
  Span<float> read(In operand, std::string_view name) {
    const Span<float> copied = unwritten(operand.size());
    const Bits16* from = elements<Bits16>(operand, name);
    for_each_range(operand.size(), [&](std::int64_t begin, std::int64_t end) {
      kernels_.to_float(from + begin, copied.data() + begin, end - begin);
    });
    return copied;
  }
  /// Weights, rounded to bfloat16.
  Span<float> rounded(ConstSpan<float> weights) {
    const Span<float> copied = unwritten(weights.size());
    for_each_range(weights.size(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t e = begin; e < end; ++e) copied.data()[e] = BFloat16(weights.data()[e]);
    });
    return copied;
  }
  /// Memory for a result that is added to `operand`, or replaces it.
  Span<float> result(Out operand, Write write, std::string_view name) {
    return write == Write::add ? read(operand, name) : unwritten(operand.size());
  }
  /// Rounds a result to its operand.
  void finish(ConstSpan<float> result, Out operand, std::string_view name) {
    Bits16* to = elements<Bits16>(operand, name);
    for_each_range(operand.size(), [&](std::int64_t begin, std::int64_t end) {
      kernels_.from_float(result.data() + begin, to + begin, end - begin);
    });
  }

 private:
  Span<float> unwritten(std::size_t size) {
    const Span<float> memory(reinterpret_cast<float*>(free_), size);
    free_ += copy_bytes_of(size);
    return memory;
  }
  template <class Body>
  void for_each_range(std::size_t size, const Body& body) {
    parallel_for(exec_.threads(), static_cast<std::int64_t>(size), kPointwiseGrain, body);
  }

  Exec& exec_;
  std::byte* free_;
  const PointwiseKernels<Bits16>& kernels_;
};

/// The float32 kernel of a problem, and memory for copies of the operands of its pass.
template <class Op>
class Converted : public Op::Kernel {
 public:
  Converted(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass, const Isa& isa, std::size_t bytes)
      : isa_(isa), bytes_(bytes), kernel_(make(exec, in_float32(problem), pass, isa)) {
    exec.reserve_operand_copies(bytes);
  }

 protected:
  FloatCopies copies(Exec& exec) const { return {exec, bytes_, isa_}; }

  /// An operand and its name in errors.
  template <class Operand>
  struct Named {
    Operand values;
    std::string_view name;
  };
  /// run(x, w, y) on copies: w rounded to bfloat16, and y rounded back.
  template <class Run>
  void with_weights(Exec& exec, Named<In> x, ConstSpan<float> w, Named<Out> y, Write write, const Run& run) const {
    FloatCopies copies = this->copies(exec);
    const Span<float> xs = copies.read(x.values, x.name), ws = copies.rounded(w);
    const Span<float> ys = copies.result(y.values, write, y.name);
    run(xs, ws, ys);
    copies.finish(ys, y.values, y.name);
  }
  /// run(x, dy) on copies.
  template <class Run>
  void with_gradient(Exec& exec, Named<In> x, Named<In> dy, const Run& run) const {
    FloatCopies copies = this->copies(exec);
    const Span<float> xs = copies.read(x.values, x.name), dys = copies.read(dy.values, dy.name);
    run(xs, dys);
  }
  typename Op::Kernel& kernel() const { return *kernel_; }

 private:
  static typename Op::Problem in_float32(typename Op::Problem problem) {
    problem.type = DType::float32;
    return problem;
  }

  const Isa& isa_;
  std::size_t bytes_;
  std::unique_ptr<typename Op::Kernel> kernel_;
};

/// Bytes of float32 copies of operands with these sizes.
template <class... Sizes>
std::size_t bytes_of(Sizes... sizes) {
  return (copy_bytes_of(sizes) + ...);
}

class ConvertedConv2d final : public Converted<Conv2d> {
 public:
  ConvertedConv2d(Exec& exec, const Conv2d::Problem& p, Conv2d::Pass pass, const Isa& isa)
      : Converted(exec, p, pass, isa,
                  pass == Conv2d::Pass::backward_weight ? bytes_of(p.x_size(), p.y_size())
                                                        : bytes_of(p.x_size(), p.w_size(), p.y_size())) {}

  void forward(Exec& exec, In x, ConstSpan<float> w, Out y) override {
    with_weights(exec, {x, "conv2d: x"}, w, {y, "conv2d: y"}, Write::overwrite,
                 [&](ConstSpan<float> xs, ConstSpan<float> ws, Span<float> ys) { kernel().forward(exec, xs, ws, ys); });
  }

  void backward_input(Exec& exec, In dy, ConstSpan<float> w, Out dx, Write write) override {
    with_weights(exec, {dy, "conv2d: dy"}, w, {dx, "conv2d: dx"}, write,
                 [&](ConstSpan<float> dys, ConstSpan<float> ws, Span<float> dxs) {
                   kernel().backward_input(exec, dys, ws, dxs, write);
                 });
  }

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    with_gradient(exec, {x, "conv2d: x"}, {dy, "conv2d: dy"},
                  [&](ConstSpan<float> xs, ConstSpan<float> dys) { kernel().backward_weight(exec, xs, dys, dw, write); });
  }
};

class ConvertedLinear final : public Converted<Linear> {
 public:
  ConvertedLinear(Exec& exec, const Linear::Problem& p, Linear::Pass pass, const Isa& isa)
      : Converted(exec, p, pass, isa, bytes_of(x_size(p), std::size_t(p.k) * p.c, std::size_t(p.n) * p.k)) {}

  void forward(Exec& exec, In x, ConstSpan<float> w, ConstSpan<float> b, Out y) override {
    with_weights(exec, {x, "linear: x"}, w, {y, "linear: y"}, Write::overwrite,
                 [&](ConstSpan<float> xs, ConstSpan<float> ws, Span<float> ys) { kernel().forward(exec, xs, ws, b, ys); });
  }

  void backward_input(Exec& exec, In dy, ConstSpan<float> w, Out dx, Write write) override {
    with_weights(exec, {dy, "linear: dy"}, w, {dx, "linear: dx"}, write,
                 [&](ConstSpan<float> dys, ConstSpan<float> ws, Span<float> dxs) {
                   kernel().backward_input(exec, dys, ws, dxs, write);
                 });
  }

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Span<float> db, Write write) override {
    with_gradient(exec, {x, "linear: x"}, {dy, "linear: dy"},
                  [&](ConstSpan<float> xs, ConstSpan<float> dys) { kernel().backward_weight(exec, xs, dys, dw, db, write); });
  }

 private:
  static std::size_t x_size(const Linear::Problem& p) { return std::size_t(p.n) * p.c; }
};

class ConvertedSoftmaxCrossEntropy final : public Converted<SoftmaxCrossEntropy> {
 public:
  ConvertedSoftmaxCrossEntropy(Exec& exec, const SoftmaxCrossEntropy::Problem& p, SoftmaxCrossEntropy::Pass pass,
                               const Isa& isa)
      : Converted(exec, p, pass, isa, bytes_of(p.size())) {}

  void forward(Exec& exec, In logits, Labels labels, Span<float> probabilities, Span<float> sums) override {
    kernel().forward(exec, copies(exec).read(logits, "softmax_cross_entropy: logits"), labels, probabilities, sums);
  }

  void backward(Exec& exec, ConstSpan<float> probabilities, Labels labels, float scale, Out dlogits) override {
    FloatCopies copies = this->copies(exec);
    const Span<float> result = copies.result(dlogits, Write::overwrite, "softmax_cross_entropy: dlogits");
    kernel().backward(exec, probabilities, labels, scale, result);
    copies.finish(result, dlogits, "softmax_cross_entropy: dlogits");
  }
};

}  // namespace

std::unique_ptr<Conv2d::Kernel> make_converted(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, const Isa& isa) {
  return std::make_unique<ConvertedConv2d>(exec, problem, pass, isa);
}

std::unique_ptr<Linear::Kernel> make_converted(Exec& exec, const Linear::Problem& problem, Linear::Pass pass, const Isa& isa) {
  return std::make_unique<ConvertedLinear>(exec, problem, pass, isa);
}

std::unique_ptr<SoftmaxCrossEntropy::Kernel> make_converted(Exec& exec, const SoftmaxCrossEntropy::Problem& problem,
                                                            SoftmaxCrossEntropy::Pass pass, const Isa& isa) {
  return std::make_unique<ConvertedSoftmaxCrossEntropy>(exec, problem, pass, isa);
}

}  // namespace apam::kernels::cpu
