// Every option of a command comes from its list (option_list.h), and every option of `train` is in config.json.
#include "apam/cli/options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "apam/training/run_config.h"

namespace apam::cli {
namespace {

using training::TrainOptions;

std::string key_of(const CLI::Option& option) {
  std::string key = option.get_lnames().at(0);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

/// Keys of all options that CLI11 has for `train`.
std::set<std::string> keys_on_the_command_line() {
  CLI::App app;
  TrainOptions options;
  add_options(app, training::describe(options));
  std::set<std::string> keys;
  for (const CLI::Option* option : app.get_options()) {
    if (option != app.get_help_ptr()) keys.insert(key_of(*option));
  }
  return keys;
}

TEST(Options, ConfigHasEveryOptionOfTrain) {
  TrainOptions options;
  options.data = {.name = "synthetic", .root = "", .train_images = 4, .test_images = 2};
  options.batch = 2;
  const std::array this_rank{training::cores_of_this_rank({}, true)};
  const auto plan = make_run_plan(options, make_thread_budget(options, this_rank, 0));
  const training::Json config = describe_config(options, plan, {"apam", "train"});
  const auto keys = keys_on_the_command_line();
  EXPECT_GT(keys.size(), 20U);
  for (const auto& key : keys) EXPECT_TRUE(config.contains(key)) << key;
}

TEST(Options, ConfigHasTheFactorInUse) {
  TrainOptions options;
  options.data = {.name = "synthetic", .root = "", .train_images = 4, .test_images = 2};
  options.batch = 2;
  const std::array this_rank{training::cores_of_this_rank({}, true)};
  const auto factor = [&] {
    const auto plan = make_run_plan(options, make_thread_budget(options, this_rank, 0));
    return describe_config(options, plan, {"apam", "train"})["lr_step_factor"];
  };
  EXPECT_TRUE(factor().is_null());
  options.lr_schedule = "step";
  options.lr_step_epochs = 1;
  EXPECT_EQ(factor(), 0.1);
  options.lr_step_factor = 0.5;
  EXPECT_EQ(factor(), 0.5);
}

TEST(Options, ParsedValuesReachConfig) {
  CLI::App app;
  TrainOptions options;
  add_options(app, training::describe(options));
  const training::Json defaults = describe_options(options);
  EXPECT_EQ(defaults["lr"], 1e-4);
  EXPECT_TRUE(defaults["epochs"].is_null());
  EXPECT_EQ(defaults["keep_going"], false);
  app.parse("--lr 0.5 --epochs 3 --keep-going --net resnet18 --kernel-cache /somewhere --seed 18446744073709551615");
  const training::Json given = describe_options(options);
  EXPECT_EQ(given["lr"], 0.5);
  EXPECT_EQ(given["epochs"], 3);
  EXPECT_EQ(given["keep_going"], true);
  EXPECT_EQ(given["net"], "resnet18");
  EXPECT_EQ(given["kernel_cache"], "/somewhere");
  EXPECT_EQ(given["seed"], 18446744073709551615U);
}

TEST(Options, KeysAreUniqueAndEveryOptionHasHelp) {
  TrainOptions train;
  training::EvalOptions eval;
  training::GradientsOptions gradients;
  training::InfoOptions info;
  training::DataPackOptions pack;
  training::DataCheckOptions check;
  training::DataExportOptions exported;
  for (const auto& list : {describe(train), describe(eval), describe(gradients), describe(info), describe(pack),
                           describe(check), describe(exported)}) {
    std::set<std::string> keys;
    for (const training::Option& option : list) {
      EXPECT_TRUE(keys.insert(option.key()).second) << option.name;
      EXPECT_FALSE(option.help.empty()) << option.name;
      EXPECT_FALSE(option.group.empty()) << option.name;
    }
  }
}

}  // namespace
}  // namespace apam::cli
