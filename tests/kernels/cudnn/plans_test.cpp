// Plans of cuDNN for an H200, described by h200.json: no GPU is needed. For every convolution and batch norm of the three nets,
// at the batch that they are trained with, in each type and pass:
//   - there is a plan that is deterministic (kernels/cudnn/plan.h has the rules), for convolutions in bfloat16 on tensor cores;
//   - its workspace is below a cap;
//   - it is the one in h200_plans.txt, so that a change shows. The test writes its plans to a file of that name in the build
//     folder.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "kernels/cudnn/call.h"
#include "kernels/providers.h"
#include "tests/cases/cases.h"
#include "tests/kernels/cudnn/paths.h"

namespace apam::kernels::cudnn {
namespace {

/// Most bytes of workspace. Convolutions in float32 reorder their operands; so do those whose operands were widened.
constexpr std::size_t kMiB = std::size_t{1} << 20U;
constexpr std::size_t kMostFloat32 = 96 * kMiB, kMostWidened = 48 * kMiB, kMostTensorCores = 16 * kMiB, kMostBatchNorm = kMiB;

using Engines = std::vector<std::optional<Engine>>;

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Properties h200() {
  std::string json = content_of(fmt::format("{}/h200.json", kFolder));
  json.resize(json.find_last_of('}') + 1);
  return Properties::from_json(json);
}

/// A step of a pass, and the engine that is preferred for it.
template <class Op>
struct Preferred {
  typename Op::Problem problem;
  typename Op::Pass pass;
  Step step;
  std::optional<Candidate> first;
};

/// What the nets request, in each type. Asked once, since cuDNN takes its time.
template <class Op>
const std::vector<Preferred<Op>>& preferred() {
  static const std::vector<Preferred<Op>> list = [] {
    const Properties device = h200();
    std::vector<Preferred<Op>> all;
    for (const auto& subject : cases::in_each_type(cases::net_cases<Op>())) {
      for (std::size_t i = 0; i < Op::pass_names.size(); ++i) {
        const auto pass = static_cast<typename Op::Pass>(i);
        for (Step& step : steps(subject.problem, pass)) {
          const auto found = candidates(*step.graph, device, step.rules, 1);
          all.push_back({subject.problem, pass, step, found.empty() ? std::nullopt : std::optional(found.front())});
        }
      }
    }
    return all;
  }();
  return list;
}

class PlansWithoutGpu : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // cuDNN asks for the driver before it offers engines that are compiled late; a stub is enough.
    if (::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) ::dlopen(kDriverStub, RTLD_NOW | RTLD_GLOBAL);
  }
  void SetUp() override {
    if (!absence().empty()) GTEST_SKIP() << "cuDNN cannot be loaded: " << absence();
  }
};

TEST_F(PlansWithoutGpu, every_convolution_has_a_deterministic_plan) {
  for (const auto& [problem, pass, step, first] : preferred<Conv2d>()) {
    ASSERT_TRUE(first.has_value()) << step.graph->what();
    const bool narrow = problem.type == DType::bfloat16;
    const bool widened =
        step.name == "widened" || (pass == Conv2d::Pass::backward_weight && !weight_gradient_is_fused(problem));
    EXPECT_EQ(first->tensor_cores, narrow) << step.graph->what();
    EXPECT_LE(first->workspace, !narrow ? kMostFloat32 : widened ? kMostWidened : kMostTensorCores) << step.graph->what();
  }
  EXPECT_GT(preferred<Conv2d>().size(), 200U);
}

TEST_F(PlansWithoutGpu, every_batch_norm_of_whole_chunks_has_a_deterministic_plan) {
  for (const auto& [problem, pass, step, first] : preferred<BatchNorm>()) {
    // cuDNN refuses rows that do not fill 16 bytes, except in element-wise graphs: AllCNN's last batch norm has 10 channels.
    const bool element_wise = pass == BatchNorm::Pass::forward_inference || step.name == "mask";
    EXPECT_EQ(first.has_value(), problem.c % 8 == 0 || element_wise) << step.graph->what();
    EXPECT_LE(first ? first->workspace : 0, kMostBatchNorm) << step.graph->what();
  }
  EXPECT_GT(preferred<BatchNorm>().size(), 100U);
}

TEST_F(PlansWithoutGpu, are_those_of_the_table) {
  std::string now = fmt::format("cuDNN {}\n", library().version);
  const auto add = [&](const auto& list) {
    for (const auto& [problem, pass, step, first] : list) {
      const std::string engine = first ? fmt::format("{} | {} bytes", first->engine.to_text(), first->workspace) : "none";
      now += fmt::format("{} | {}\n", step.graph->what(), engine);
    }
  };
  add(preferred<Conv2d>());
  add(preferred<BatchNorm>());
  const std::string table = content_of(fmt::format("{}/h200_plans.txt", kFolder));
  std::ofstream(fmt::format("{}/h200_plans.txt", kOutput)) << now;
  ASSERT_TRUE(table.starts_with("cuDNN "));
  if (table.substr(0, table.find('\n')) != now.substr(0, now.find('\n'))) {
    GTEST_SKIP() << "the table is of " << table.substr(0, table.find('\n')) << ", loaded is " << library().version;
  }
  std::istringstream expected(table), actual(now);
  for (std::string wanted, line; std::getline(expected, wanted);) {
    std::getline(actual, line);
    EXPECT_EQ(line, wanted);
  }
  EXPECT_EQ(now.size(), table.size()) << "the table has fewer plans";
}

TEST_F(PlansWithoutGpu, precompiled_engines_are_built_again_from_their_text) {
  const Properties device = h200();
  std::set<std::int64_t> built;
  for (const auto& [problem, pass, step, first] : preferred<Conv2d>()) {
    if (!first || first->compiled_late || !built.insert(first->engine.index).second) continue;
    const auto engine = Engine::from_text(first->engine.to_text());
    ASSERT_TRUE(engine.has_value()) << first->engine.to_text();
    EXPECT_EQ(*engine, first->engine);
    Plans plans(2);
    const Plan& plan = plans.front().emplace(step.graph, device, *engine);
    EXPECT_LE(plan.workspace(), step.rules.workspace) << step.graph->what();
    EXPECT_EQ(engines_of(to_text(plans), 2), (Engines{first->engine, std::nullopt}));
  }
  EXPECT_GE(built.size(), 5U);
}

TEST_F(PlansWithoutGpu, text_of_other_versions_or_steps_is_not_followed) {
  const std::string version = library().version;
  EXPECT_EQ(engines_of(version + " | 1: 2=3 4=-5 | 6:", 2), (Engines{Engine{1, {{2, 3}, {4, -5}}}, Engine{6, {}}}));
  EXPECT_EQ(engines_of(version + " | none | 6:", 2), (Engines{std::nullopt, Engine{6, {}}}));
  const std::vector<std::string> others{"",
                                        version,
                                        version + " | 1:",
                                        version + " | 1: | 2: | 3:",
                                        "9.0.0 | 1: | 2:",
                                        version + " | 1: | two:",
                                        version + " | 1: | nothing",
                                        version + " | 1: | 2: 3",
                                        version + " | 1: | 2: 3=",
                                        version + " | 1: | 2:3=4"};
  for (const std::string& text : others) {
    EXPECT_TRUE(engines_of(text, 2).empty()) << text;
  }
}

TEST_F(PlansWithoutGpu, errors_name_the_call_and_its_operands) {
  const Conv2d::Problem problem{.n = 1, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1};
  const auto graph = steps(problem, Conv2d::Pass::forward).front().graph;
  std::string message;
  try {
    const Plan plan(graph, h200(), {9999, {}});
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_TRUE(
      message.starts_with("cudnn: finalizing engine 9999: for conv2d 1x8x8x16 -> 16, 3x3, stride 1, padding 1, forward"))
      << message;
  EXPECT_NE(message.find(": CUDNN_STATUS_"), std::string::npos) << message;
}

TEST_F(PlansWithoutGpu, without_a_gpu_nothing_is_supported) {
  if (!gpu_names().empty()) GTEST_SKIP() << "there is a GPU";
  const auto& convolution = std::get<Table<Conv2d>>(tables()).front();
  EXPECT_EQ(convolution.provider, "cudnn");
  for (const auto& [problem, pass, step, first] : preferred<Conv2d>()) EXPECT_FALSE(convolution.supports(problem, pass));
}

TEST(CudnnStatus, names_the_library_or_why_there_is_none) {
  const std::string wanted = absence().empty() ? library().version + ", " + library().path : absence();
  EXPECT_EQ(status(), wanted);
}

}  // namespace
}  // namespace apam::kernels::cudnn
