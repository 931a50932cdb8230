// APAM_VERBOSE: a line per kernel that runs.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <regex>
#include <vector>

#include "kernels/ops/kernel.h"

namespace apam::kernels {
namespace {

class Verbose : public testing::Test {
 protected:
  ~Verbose() override {
    ::unsetenv("APAM_VERBOSE");
    ::unsetenv("PMI_RANK");
  }

  /// What two ReLUs print: one forward, one backward.
  static std::string printed(const char* value, const char* rank = nullptr) {
    value != nullptr ? ::setenv("APAM_VERBOSE", value, 1) : ::unsetenv("APAM_VERBOSE");
    rank != nullptr ? ::setenv("PMI_RANK", rank, 1) : ::unsetenv("PMI_RANK");
    Exec exec({.kernels = KernelSelection::parse("reference")});
    std::vector<float> x(1000, 1.0F), y(1000);
    const ConstSpan<float> in(x.data(), x.size());
    const Span<float> out(y.data(), y.size());
    testing::internal::CaptureStderr();
    kernel<Relu>(exec, {.size = 1000}, Relu::Pass::forward);  // made, but not run
    kernel<Relu>(exec, {.size = 1000}, Relu::Pass::forward)->forward(exec, in, out);
    kernel<Relu>(exec, {.size = 1000}, Relu::Pass::backward)->backward(exec, in, in, out, Write::overwrite);
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(Verbose, prints_operation_problem_pass_provider_and_time) {
  const std::string text = printed("1", "3");
  EXPECT_TRUE(std::regex_match(
      text, std::regex("apam: rank 3 \\| relu \\| 1000 \\| forward \\| reference \\| [0-9]+\\.[0-9]{3} ms\n"
                       "apam: rank 3 \\| relu \\| 1000 \\| backward \\| reference \\| [0-9]+\\.[0-9]{3} ms\n")))
      << text;
}

TEST_F(Verbose, names_the_process_outside_mpi) {
  EXPECT_TRUE(printed("1").starts_with(fmt::format("apam: process {} | relu | ", ::getpid())));
}

TEST_F(Verbose, is_silent_unless_set) {
  for (const char* value : {static_cast<const char*>(nullptr), "", "0"}) EXPECT_EQ(printed(value), "");
}

}  // namespace
}  // namespace apam::kernels
