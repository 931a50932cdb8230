// Plans of cuDNN for an H200, described by h200.json: no GPU is needed. For every convolution and batch norm of the three nets,
// at the batch that they are trained with, in each type and pass:
//   - there is a plan that is deterministic (kernels/cudnn/plan.h has the rules), for convolutions in bfloat16 on tensor cores;
//   - its workspace is below a cap;
//   - it is the one in h200_plans.txt, so that a change shows. The test writes the plans of this build to a file of the same
//   name
//     in its build folder.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "kernels/cudnn/call.h"
#include "kernels/providers.h"
#include "tests/cases/cases.h"
#include "tests/kernels/cudnn/paths.h"

namespace apam::kernels::cudnn {
namespace {

/// Most bytes of workspace. Convolutions in float32 reorder both operands; weight gradients of images with 3 channels widen
/// them.
constexpr std::size_t kMostFloat32 = std::size_t{96} << 20U, kMostTensorCores = std::size_t{48} << 20U,
                      kMostBatchNorm = std::size_t{1} << 20U;

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class PlansWithoutGpu : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // cuDNN asks for the driver before it offers engines that are compiled late; a stub is enough.
    if (::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) ::dlopen(kDriverStub, RTLD_NOW | RTLD_GLOBAL);
  }
  void SetUp() override {
    if (!absence().empty()) GTEST_SKIP() << absence();
  }

  static Properties h200() {
    std::string json = content_of(fmt::format("{}/h200.json", kFolder));
    json.resize(json.find_last_of('}') + 1);
    return Properties::from_json(json);
  }
};

/// What the nets request, in each type.
template <class Op>
std::vector<cases::Case<Op>> subjects() {
  return cases::in_each_type(cases::net_cases<Op>());
}

/// cuDNN refuses batch norms whose rows do not fill 16 bytes: the last one of AllCNN has 10 channels.
template <class Op>
bool refused(const typename Op::Problem&, typename Op::Pass) {
  return false;
}
template <>
bool refused<BatchNorm>(const BatchNorm::Problem& p, BatchNorm::Pass pass) {
  return p.c % 4 != 0 && pass != BatchNorm::Pass::forward_inference;
}

/// Calls visit(problem, pass, step, candidates) for every step.
template <class Op, class Visit>
void for_steps(const Properties& device, const Visit& visit) {
  for (const auto& subject : subjects<Op>()) {
    for (std::size_t i = 0; i < Op::pass_names.size(); ++i) {
      const auto pass = static_cast<typename Op::Pass>(i);
      for (const Step& step : steps(subject.problem, pass)) {
        visit(subject.problem, pass, step, candidates(*step.graph, device, step.rules));
      }
    }
  }
}

TEST_F(PlansWithoutGpu, every_convolution_has_a_deterministic_plan) {
  const Properties device = h200();
  int count = 0;
  for_steps<Conv2d>(device, [&](const auto& problem, auto pass, const Step& step, const auto& all) {
    ++count;
    ASSERT_FALSE(all.empty()) << step.graph->what();
    const bool tensor_cores = problem.type == DType::bfloat16 && pass != Conv2d::Pass::backward_weight;
    const bool widened = problem.type == DType::bfloat16 && !weight_gradient_is_fused(problem);
    EXPECT_EQ(all.front().tensor_cores, problem.type == DType::bfloat16) << step.graph->what();
    EXPECT_LE(all.front().workspace, tensor_cores || widened ? kMostTensorCores : kMostFloat32) << step.graph->what();
  });
  EXPECT_GT(count, 200);
}

TEST_F(PlansWithoutGpu, every_batch_norm_of_whole_chunks_has_a_deterministic_plan) {
  const Properties device = h200();
  for_steps<BatchNorm>(device, [&](const auto& problem, auto pass, const Step& step, const auto& all) {
    const bool is_mask = step.name == "mask";
    if (refused<BatchNorm>(problem, pass) && !is_mask) {
      EXPECT_TRUE(all.empty()) << step.graph->what() << ": is supported by now";
      return;
    }
    ASSERT_FALSE(all.empty()) << step.graph->what();
    EXPECT_LE(all.front().workspace, kMostBatchNorm) << step.graph->what();
  });
}

TEST_F(PlansWithoutGpu, are_those_of_the_table) {
  const Properties device = h200();
  std::string now = fmt::format("cuDNN {}\n", library().version);
  const auto add = [&](const auto&, auto, const Step& step, const auto& all) {
    now += fmt::format("{} | ", step.graph->what());
    now += all.empty() ? "none\n" : fmt::format("{} | {} bytes\n", all.front().engine.to_text(), all.front().workspace);
  };
  for_steps<Conv2d>(device, add);
  for_steps<BatchNorm>(device, add);
  const std::string table = content_of(fmt::format("{}/h200_plans.txt", kFolder));
  std::ofstream(fmt::format("{}/h200_plans.txt", kOutput)) << now;
  if (table.substr(0, table.find('\n')) != now.substr(0, now.find('\n'))) {
    GTEST_SKIP() << "the table is of " << table.substr(0, table.find('\n')) << ", loaded is " << library().version;
  }
  std::istringstream expected(table), actual(now);
  for (std::string wanted, line; std::getline(expected, wanted);) {
    std::getline(actual, line);
    EXPECT_EQ(line, wanted);
  }
  EXPECT_EQ(now.size(), table.size()) << "plans are missing in the table";
}

TEST_F(PlansWithoutGpu, precompiled_engines_are_built_again_from_their_text) {
  const Properties device = h200();
  std::set<std::int64_t> built;
  for_steps<Conv2d>(device, [&](const auto&, auto, const Step& step, const auto& all) {
    for (const Candidate& candidate : all) {
      if (candidate.compiled_late || !built.insert(candidate.engine.index).second) continue;
      const auto engine = Engine::from_text(candidate.engine.to_text());
      ASSERT_TRUE(engine.has_value()) << candidate.engine.to_text();
      EXPECT_EQ(*engine, candidate.engine);
      const Plan plan(step.graph, device, *engine);
      EXPECT_LE(plan.workspace(), step.rules.workspace) << step.graph->what();
      const auto stored = engines_of(to_text(std::span<const Plan>(&plan, 1)), 1);
      ASSERT_EQ(stored.size(), 1U);
      EXPECT_EQ(stored.front(), candidate.engine);
    }
  });
  EXPECT_GE(built.size(), 5U);
}

TEST_F(PlansWithoutGpu, text_of_other_versions_or_steps_is_not_followed) {
  const std::string version = library().version;
  EXPECT_EQ(engines_of(version + " | 1: 2=3 4=-5 | 6:", 2), (std::vector<Engine>{{1, {{2, 3}, {4, -5}}}, {6, {}}}));
  for (const std::string& text :
       {std::string(), version, version + " | 1:", version + " | 1: | 2: | 3:", "9.0.0 | 1: | 2:", version + " | 1: | two:",
        version + " | 1: | 2: 3", version + " | 1: | 2: 3=", version + " | 1: | 2:3=4"}) {
    EXPECT_TRUE(engines_of(text, 2).empty()) << text;
  }
}

TEST_F(PlansWithoutGpu, errors_name_the_call_and_its_operands) {
  Graph graph("a test");
  try {
    graph.stored(7, {0, 1, 2, 3}, DType::float32);
    FAIL() << "an empty tensor was accepted";
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("cudnn: ")) << error.what();
    EXPECT_NE(std::string(error.what()).find("tensor 7 (0, 2, 3, 1) of a test: CUDNN_STATUS_"), std::string::npos)
        << error.what();
  }
}

TEST_F(PlansWithoutGpu, without_a_gpu_nothing_is_supported) {
  if (!gpu_names().empty()) GTEST_SKIP() << "there is a GPU";
  const auto& convolution = std::get<Table<Conv2d>>(tables()).front();
  EXPECT_EQ(convolution.provider, "cudnn");
  for (const auto& subject : subjects<Conv2d>()) EXPECT_FALSE(convolution.supports(subject.problem, Conv2d::Pass::forward));
}

TEST(CudnnStatus, names_the_library_or_why_there_is_none) {
  const std::string wanted = absence().empty() ? library().version + ", " + library().path : absence();
  EXPECT_EQ(status(), wanted);
}

}  // namespace
}  // namespace apam::kernels::cudnn
