// Ranks must agree on every option that changes the results; the first difference is reported.
#include "apam/training/agreement.h"

#include <gtest/gtest.h>

#include <functional>

namespace apam::training {
namespace {

std::optional<std::string> compare(const TrainOptions& first, const TrainOptions& second) {
  const std::vector<std::string> texts{to_text(program_and_options(first)), to_text(program_and_options(second))};
  return first_disagreement(texts);
}

TEST(Agreement, NamesTheFieldWithBothValuesAndRanks) {
  TrainOptions first, second;
  EXPECT_EQ(compare(first, second), std::nullopt);
  first.seed = 1;
  second.seed = 2;
  second.eval_every = 3;  // later in the list
  EXPECT_EQ(compare(first, second), "ranks disagree on --seed: rank 0 has 1, rank 1 has 2");
}

TEST(Agreement, ComparesTheProgramAndOptionsOnly) {
  const Fields fields = program_and_options({});
  ASSERT_GT(fields.size(), 2U);
  EXPECT_EQ(fields[0].name, "version");
  EXPECT_EQ(fields[1].name, "commit");
  for (std::size_t i = 2; i < fields.size(); ++i) EXPECT_TRUE(fields[i].name.starts_with("--")) << fields[i].name;
}

TEST(Agreement, FindsTheFirstRankThatDiffers) {
  TrainOptions one, other;
  other.batch = 50;
  const std::string mine = to_text(program_and_options(one)), theirs = to_text(program_and_options(other));
  const std::vector<std::string> texts{mine, mine, theirs, theirs};
  EXPECT_EQ(first_disagreement(texts), "ranks disagree on --batch: rank 0 has 100, rank 2 has 50");
}

TEST(Agreement, ComparesEveryOptionThatChangesResults) {
  const std::vector<std::function<void(TrainOptions&)>> changes{
      [](auto& o) { o.net.name = "resnet18"; },
      [](auto& o) { o.net.classes = 10; },
      [](auto& o) { o.data.name = "synthetic"; },
      [](auto& o) { o.data.train_split = "train+valid"; },
      [](auto& o) { o.data.label_order = "wnid"; },
      [](auto& o) { o.data.train_images = 7; },
      [](auto& o) { o.data.test_images = 7; },
      [](auto& o) { o.exchange = "sync"; },
      [](auto& o) { o.max_delay = 2; },
      [](auto& o) { o.sync_backup = 1; },
      [](auto& o) { o.prefetch_weights = true; },
      [](auto& o) { o.optimizer = "sgd"; },
      [](auto& o) { o.learning_rate = 0.1 + 0.2; },
      [](auto& o) { o.beta1 = 0.5; },
      [](auto& o) { o.beta2 = 0.5; },
      [](auto& o) { o.eps = 1e-7; },
      [](auto& o) { o.momentum = 0.9; },
      [](auto& o) { o.nesterov = true; },
      [](auto& o) { o.weight_decay = 1e-4; },
      [](auto& o) { o.lr_schedule = "cosine"; },
      [](auto& o) { o.lr_step_epochs = 1; },
      [](auto& o) { o.lr_step_factor = 0.1; },
      [](auto& o) { o.warmup_updates = 1; },
      [](auto& o) { o.batch = 10; },
      [](auto& o) { o.epochs = 1; },
      [](auto& o) { o.max_updates = 10; },
      [](auto& o) { o.seed = 10; },
      [](auto& o) { o.order = "sequential"; },
      [](auto& o) { o.augment = "none"; },
      [](auto& o) { o.bn = "recalibrate"; },
      [](auto& o) { o.bn_images = 100; },
      [](auto& o) { o.eval_split = "train"; },
      [](auto& o) { o.eval_every = 10; },
      [](auto& o) { o.keep_going = true; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    TrainOptions changed;
    changes[i](changed);
    EXPECT_TRUE(compare({}, changed).has_value()) << "change " << i;
  }
  TrainOptions learning, close;
  learning.learning_rate = 0.3;
  close.learning_rate = 0.1 + 0.2;
  EXPECT_TRUE(compare(learning, close).has_value()) << "numbers differ in the last bit";
}

TEST(Agreement, IgnoresOptionsThatMayDifferBetweenRanks) {
  TrainOptions mine, theirs;
  theirs.data.root = "/elsewhere";
  theirs.machine.threads = 7;
  theirs.machine.kernel_cache = "/elsewhere";
  theirs.loader_threads = 3;
  theirs.out = "/elsewhere";
  EXPECT_EQ(compare(mine, theirs), std::nullopt);
}

}  // namespace
}  // namespace apam::training
