// After the first step, training and evaluation allocate neither device memory (Buffer) nor host memory. All calls of operator
// new are counted.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/layers/layers.h"
#include "engine/optim/optimizer.h"
#include "tests/engine/model.h"

namespace {

std::atomic<std::uint64_t> allocation_count{0};

void* counted(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) noexcept {
  ++allocation_count;
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* counted_or_throw(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  void* memory = counted(size == 0 ? 1 : size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Not inlined: the compiler would see free() with the result of operator new, and warn.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }

void* operator new(std::size_t size) { return counted_or_throw(size); }
void* operator new[](std::size_t size) { return counted_or_throw(size); }
void* operator new(std::size_t size, std::align_val_t at) { return counted_or_throw(size, std::size_t(at)); }
void* operator new[](std::size_t size, std::align_val_t at) { return counted_or_throw(size, std::size_t(at)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, std::align_val_t at) noexcept { operator delete(memory, at); }
void operator delete(void* memory, std::size_t, std::align_val_t at) noexcept { operator delete(memory, at); }
void operator delete[](void* memory, std::size_t, std::align_val_t at) noexcept { operator delete(memory, at); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }

namespace apam::engine {
namespace {

/// A residual net that uses every operation, and an optimizer.
class Training {
 public:
  Training(std::string_view kernels, DType activations)
      : model_(layout_, kernels, 2, activations), optimizer_({}, layout_.weights_size(), {}) {
    model_.arena.initialize(1);
    model_.tape.on_gradient_ready([this](ParameterId id) { last_ready_ = id; });
  }

  double step() {
    Tape& tape = model_.tape;
    tape.begin(Mode::training);
    Var x = stem_bn_.relu(stem_(net_input(tape, tensor_over({kRows, 8, 8, 3}, pixels_))));
    for (const auto& block : blocks_) {
      const Var o = block.bn1.relu(x);
      const Var y = block.conv2(block.bn2.relu(block.conv1(o)));
      x = relu(add(block.bn3.add_relu(y, x), x));
    }
    const Var logits = scale(linear_(avg_pool(x, 8)), 0.5F);
    const auto score = model_.loss(logits, labels_over(labels_), 1.0F / kRows);
    tape.backward();
    optimizer_.step(model_.exec, model_.arena.gradients(), model_.arena.weights());
    update_running_statistics(model_.exec, model_.arena.batch_statistics(), model_.arena.running_statistics());
    return score.loss_sum;
  }

  double evaluate() {
    model_.tape.begin(Mode::inference);
    const Var x = stem_bn_.relu(stem_(net_input(model_.tape, tensor_over({kRows, 8, 8, 3}, pixels_))));
    return model_.loss(linear_(avg_pool(x, 8)), labels_over(labels_), 1.0F).loss_sum;
  }

  void freeze() { model_.exec.freeze(); }

 private:
  static constexpr int kRows = 2;
  static constexpr int kChannels = 8;
  struct Block {
    BatchNorm bn1;
    Conv2d conv1;
    BatchNorm bn2;
    Conv2d conv2;
    BatchNorm bn3;
  };
  Block block(const std::string& name) {
    const Conv2d::Options options{.in_channels = kChannels, .out_channels = kChannels, .kernel = 3, .padding = 1};
    return {BatchNorm(layout_, name + ".bn1", kChannels), Conv2d(layout_, name + ".conv1", options),
            BatchNorm(layout_, name + ".bn2", kChannels), Conv2d(layout_, name + ".conv2", options),
            BatchNorm(layout_, name + ".bn3", kChannels)};
  }

  ParameterLayout layout_;
  Conv2d stem_{layout_, "stem", {.in_channels = 3, .out_channels = kChannels, .kernel = 3, .padding = 1}};
  BatchNorm stem_bn_{layout_, "stem_bn", kChannels};
  std::array<Block, 3> blocks_{block("0"), block("1"), block("2")};
  Linear linear_{layout_, "linear", kChannels, 10};
  Model model_;
  Optimizer optimizer_;
  std::vector<float> pixels_ = normals(std::size_t{kRows} * 8 * 8 * 3, 1);
  std::array<std::int32_t, kRows> labels_{3, 9};
  ParameterId last_ready_;
};

struct Allocations {
  std::uint64_t buffers, allocations;
};

/// Allocations of five steps and evaluations after a warm-up of one each.
Allocations allocations_after_warm_up(std::string_view kernels, DType activations = DType::float32) {
  Training training(kernels, activations);
  const double first = training.step();
  training.evaluate();
  training.freeze();
  const Allocations before{Buffer::allocations(), allocation_count};
  double last = first;
  for (int step = 0; step < 5; ++step) {
    last = training.step();
    training.evaluate();
  }
  const Allocations counts{Buffer::allocations() - before.buffers, allocation_count - before.allocations};
  EXPECT_NE(last, first) << "the weights did not change";
  return counts;
}

TEST(Steps, allocate_nothing_after_the_first) {
  const auto counts = allocations_after_warm_up("native");
  EXPECT_EQ(counts.buffers, 0U);
  EXPECT_EQ(counts.allocations, 0U);
}

TEST(Steps, in_bfloat16_allocate_nothing_after_the_first) {
  const auto counts = allocations_after_warm_up("native", DType::bfloat16);
  EXPECT_EQ(counts.buffers, 0U);
  EXPECT_EQ(counts.allocations, 0U);
}

TEST(Steps, on_reference_kernels_allocate_no_buffer_after_the_first) {
  EXPECT_EQ(allocations_after_warm_up("reference").buffers, 0U);  // these kernels do allocate host vectors
}

TEST(Steps, on_a_frozen_exec_choose_no_kernel) {
  Training training("native", DType::float32);
  training.step();
  training.freeze();
  training.step();
  EXPECT_TRUE(throws<KernelError>({"exec is frozen", "forward_inference", "batch_norm"}, [&] { training.evaluate(); }));
}

TEST(AllocationCounter, counts_operator_new) {
  const auto before = allocation_count.load();
  const auto memory = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(allocation_count.load(), before + 2) << memory->size();
}

}  // namespace
}  // namespace apam::engine
