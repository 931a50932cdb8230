#include "kernels/cpu/converted.h"

#include <algorithm>

#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/cpu/rounded_weights.h"
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
  Span<float> rounded(const Weights& weights) {
    const Span<float> copied = unwritten(weights.size());
    round_weights(exec_, weights.data(), static_cast<std::int64_t>(weights.size()), copied.data());
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

  /// Runs `body` and gives back the memory of the copies that it made.
  template <class Body>
  void scoped(const Body& body) {
    std::byte* const start = free_;
    body();
    free_ = start;
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

/// An operand and its name in errors.
template <class Operand>
struct Named {
  Operand values;
  std::string_view name;
};

/// run(x, y) on copies; y is rounded back.
template <class Run>
void through_copies(FloatCopies& copies, Named<In> x, Named<Out> y, Write write, const Run& run) {
  const Span<float> xs = copies.read(x.values, x.name), ys = copies.result(y.values, write, y.name);
  run(xs, ys);
  copies.finish(ys, y.values, y.name);
}

/// Bytes of float32 copies of operands with these sizes.
template <class... Sizes>
std::size_t bytes_of(Sizes... sizes) {
  return (copy_bytes_of(sizes) + ...);
}

template <class Problem>
Problem in_float32(Problem problem) {
  problem.type = DType::float32;
  return problem;
}

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
  typename Op::Kernel& kernel() const { return *kernel_; }

 private:
  const Isa& isa_;
  std::size_t bytes_;
  std::unique_ptr<typename Op::Kernel> kernel_;
};

// Runs a few images at a time, so that their copies stay in the cache.
class ConvertedConv2d final : public Conv2d::Kernel {
 public:
  ConvertedConv2d(Exec& exec, const Conv2d::Problem& p, Conv2d::Pass pass, const Isa& isa)
      : images_(p.n),
        x_image_(p.x_size() / static_cast<std::size_t>(p.n)),
        y_image_(p.y_size() / static_cast<std::size_t>(p.n)),
        piece_(images_per_piece(p)),
        isa_(isa),
        whole_(make(exec, piece_of(p, piece_), pass, isa)) {
    const int rest = p.n % piece_;
    if (rest > 0) last_ = make(exec, piece_of(p, rest), pass, isa);
    const std::size_t weights = pass == Conv2d::Pass::backward_weight ? 0 : p.w_size();
    bytes_ = bytes_of(static_cast<std::size_t>(piece_) * x_image_, weights, static_cast<std::size_t>(piece_) * y_image_);
    exec.reserve_operand_copies(bytes_);
  }

  void forward(Exec& exec, In x, const Weights& w, Out y) override {
    FloatCopies copies(exec, bytes_, isa_);
    const Span<float> ws = copies.rounded(w.values);
    for_each_piece(copies, [&](Conv2d::Kernel& kernel, Piece piece) {
      through_copies(copies, {piece.of(x, x_image_), "conv2d: x"}, {piece.of(y, y_image_), "conv2d: y"}, Write::overwrite,
                     [&](ConstSpan<float> xs, Span<float> ys) { kernel.forward(exec, xs, ws, ys); });
    });
  }

  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    FloatCopies copies(exec, bytes_, isa_);
    const Span<float> ws = copies.rounded(w.values);
    for_each_piece(copies, [&](Conv2d::Kernel& kernel, Piece piece) {
      through_copies(copies, {piece.of(dy, y_image_), "conv2d: dy"}, {piece.of(dx, x_image_), "conv2d: dx"}, write,
                     [&](ConstSpan<float> dys, Span<float> dxs) { kernel.backward_input(exec, dys, ws, dxs, write); });
    });
  }

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    FloatCopies copies(exec, bytes_, isa_);
    for_each_piece(copies, [&](Conv2d::Kernel& kernel, Piece piece) {
      const Span<float> xs = copies.read(piece.of(x, x_image_), "conv2d: x");
      const Span<float> dys = copies.read(piece.of(dy, y_image_), "conv2d: dy");
      kernel.backward_weight(exec, xs, dys, dw, piece.begin == 0 ? write : Write::add);
    });
  }

 private:
  // Size of a piece, of the larger of x and y in float32. Every piece transforms the filters, so it must be larger than they.
  static constexpr std::size_t kPieceBytes = 4U << 20U, kBytesPerFilterByte = 4;

  struct Piece {
    int begin, count;  // images
    template <class Operand>
    Operand of(const Operand& all, std::size_t image) const {
      return all.subspan(static_cast<std::size_t>(begin) * image, static_cast<std::size_t>(count) * image);
    }
  };

  static int images_per_piece(const Conv2d::Problem& p) {
    const std::size_t image = std::max(p.x_size(), p.y_size()) * sizeof(float) / static_cast<std::size_t>(p.n);
    const std::size_t bytes = std::max(kPieceBytes, kBytesPerFilterByte * p.w_size() * sizeof(float));
    const auto fit = static_cast<int>(std::clamp<std::size_t>(bytes / std::max<std::size_t>(image, 1), 1, 1U << 20U));
    const int pieces = (p.n + fit - 1) / fit;
    return (p.n + pieces - 1) / pieces;
  }
  static Conv2d::Problem piece_of(Conv2d::Problem problem, int images) {
    problem.n = images;
    return in_float32(problem);
  }

  template <class Run>
  void for_each_piece(FloatCopies& copies, const Run& run) {
    for (int begin = 0; begin < images_; begin += piece_) {
      const int count = std::min(piece_, images_ - begin);
      copies.scoped([&] { run(count == piece_ ? *whole_ : *last_, Piece{begin, count}); });
    }
  }

  int images_;
  std::size_t x_image_, y_image_;  // elements per image
  int piece_;                      // images
  const Isa& isa_;
  std::unique_ptr<Conv2d::Kernel> whole_, last_;  // of piece_ images, and of those that are left
  std::size_t bytes_ = 0;
};

class ConvertedLinear final : public Converted<Linear> {
 public:
  ConvertedLinear(Exec& exec, const Linear::Problem& p, Linear::Pass pass, const Isa& isa)
      : Converted(exec, p, pass, isa, bytes_of(x_size(p), std::size_t(p.k) * p.c, std::size_t(p.n) * p.k)) {}

  void forward(Exec& exec, In x, const Weights& w, ConstSpan<float> b, Out y) override {
    FloatCopies copies = this->copies(exec);
    const Span<float> ws = copies.rounded(w.values);
    through_copies(copies, {x, "linear: x"}, {y, "linear: y"}, Write::overwrite,
                   [&](ConstSpan<float> xs, Span<float> ys) { kernel().forward(exec, xs, ws, b, ys); });
  }

  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    FloatCopies copies = this->copies(exec);
    const Span<float> ws = copies.rounded(w.values);
    through_copies(copies, {dy, "linear: dy"}, {dx, "linear: dx"}, write,
                   [&](ConstSpan<float> dys, Span<float> dxs) { kernel().backward_input(exec, dys, ws, dxs, write); });
  }

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Span<float> db, Write write) override {
    FloatCopies copies = this->copies(exec);
    const Span<float> xs = copies.read(x, "linear: x"), dys = copies.read(dy, "linear: dy");
    kernel().backward_weight(exec, xs, dys, dw, db, write);
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

  void backward(Exec& exec, ConstSpan<float> probabilities, Labels labels, ConstSpan<float> scale, Out dlogits) override {
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
