// main() of a GoogleTest program that runs under mpiexec. Rank 0 prints as usual, the other ranks only failures. A
// test that failed on one rank may leave the others waiting, so it ends the whole job.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <span>
#include <string_view>

#include "tests/exchange/mpi_world.h"

namespace apam::exchange::test {
namespace {

const mpi::Environment* the_world = nullptr;
mpi::Sends the_sends = mpi::Sends::standard;

class RankListener final : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (world().rank() == 0 || !result.failed()) return;
    fmt::print(stderr, "rank {}: {}:{}: {}\n", world().rank(), result.file_name() == nullptr ? "?" : result.file_name(),
               result.line_number(), result.message());
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (!test.result()->Failed()) return;
    std::fflush(nullptr);
    mpi::end_job(1);
  }
};

}  // namespace

const mpi::Environment& world() { return *the_world; }
mpi::Sends sends() { return the_sends; }

int run(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  mpi::Threads threads = mpi::Threads::one;
  for (const std::string_view option : std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
    if (option == "--synchronous-sends") the_sends = mpi::Sends::synchronous;
    if (option == "--any-thread") threads = mpi::Threads::any;
  }
  mpi::Environment environment(0, nullptr, threads);
  the_world = &environment;
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (environment.rank() != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new RankListener);
  return environment.finish(RUN_ALL_TESTS());
}

}  // namespace apam::exchange::test

int main(int argc, char** argv) { return apam::exchange::test::run(argc, argv); }
