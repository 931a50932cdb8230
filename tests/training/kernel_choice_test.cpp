// All kernels are chosen before training, on one rank per host at a time.
#include "apam/training/kernel_choice.h"

#include <gtest/gtest.h>

#include "apam/training/factories.h"
#include "tests/support/temporary_folder.h"

namespace apam::training {
namespace {

TEST(KernelChoice, EachHostAndWorkHasItsOwnTurn) {
  // Two hosts: a master and workers with 2 threads; workers with 2 and 4 threads.
  const std::vector<RankWork> ranks{{"a", "master"}, {"a", "two"}, {"a", "two"}, {"a", "two"},
                                    {"b", "two"},    {"b", "two"}, {"b", "four"}};
  EXPECT_EQ(turns_of_ranks(ranks), (std::vector<int>{0, 1, 2, 2, 0, 2, 1}));
  EXPECT_EQ(turns_of_ranks(std::vector<RankWork>{{"a", "x"}}), std::vector<int>{0});
  EXPECT_EQ(turns_of_ranks(std::vector<RankWork>{{"a", "x"}, {"a", "x"}}), (std::vector<int>{0, 1}));
}

class KernelChoiceTest : public testing::Test {
 protected:
  KernelChoiceTest() : arena(exec.device(), net->layout()), updater(exec, arena, {}), source(exec, *net, arena, batches, {}) {
    arena.initialize(1);
  }

  static std::shared_ptr<const data::Dataset> open() {
    data::DatasetOptions options{.name = "synthetic"};
    options.synthetic = {.shape = {32, 32, 3}, .classes = 4, .train_images = 5, .test_images = 1};
    return data::open_dataset(options);
  }

  std::shared_ptr<const data::Batches> batches =
      std::make_shared<const data::Batches>(open(), data::BatchOptions{.batch = 2});  // of 2, 2 and 1
  std::unique_ptr<nets::Net> net = nets::make_net("resnet18", 4);
  Exec exec{{.kernels = KernelSelection::parse("*=native,batch_norm=auto")}};  // to time all of ResNet18 takes long
  engine::ParameterArena arena;
  engine::Updater updater;
  NetGradientSource source;
};

TEST_F(KernelChoiceTest, TrainingChoosesNoFurtherKernels) {
  const std::vector<float> before(arena.state().host().begin(), arena.state().host().end());
  choose_kernels({exec, &updater, &source, batch_sizes(*batches, 0, 1)}, [] {});
  EXPECT_EQ(std::vector<float>(arena.state().host().begin(), arena.state().host().end()), before);
  EXPECT_EQ(updater.version(), 0);
  const std::size_t chosen = exec.report().size(), decided = exec.decisions().size();
  EXPECT_GT(decided, 0U);
  for (std::int64_t batch = 0; batch < 3; ++batch) {
    source.compute({batch});
    updater.apply(arena.outgoing());
  }
  EXPECT_EQ(exec.report().size(), chosen);
  EXPECT_EQ(exec.decisions().size(), decided);
}

TEST_F(KernelChoiceTest, SharesOfABatchHaveTheirOwnSizes) {
  EXPECT_EQ(batch_sizes(*batches, 0, 1), (std::set<std::int64_t>{1, 2}));
  EXPECT_EQ(batch_sizes(*batches, 0, 2), (std::set<std::int64_t>{0, 1}));  // none of the last batch, which has one image
  EXPECT_EQ(batch_sizes(*batches, 1, 2), std::set<std::int64_t>{1});
}

TEST_F(KernelChoiceTest, AnExceptionEndsTheChoice) {
  const auto interrupt = [] { fail<InputError>("interrupted"); };
  EXPECT_THROW(choose_kernels({exec, &updater, &source, {2}}, interrupt), InputError);
}

}  // namespace
}  // namespace apam::training
