// Signals to this process: the first sets the flag, the second is fatal, ignored ones stay ignored.
#include "apam/cli/interruption.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace apam::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Waits until a signal is pending, 5 s at most.
std::optional<int> signal_of(const Interruption& interruption) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(5);
  while (!interruption.pending() && steady_clock::now() < deadline) std::this_thread::sleep_for(milliseconds(1));
  return interruption.pending();
}

TEST(Interruption, ASignalSetsTheFlag) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    {
      const Interruption interruption;
      EXPECT_FALSE(interruption.pending().has_value());
      ASSERT_EQ(::kill(::getpid(), signal), 0);
      EXPECT_EQ(signal_of(interruption), signal);
      EXPECT_EQ(interruption.pending(), signal);  // reading does not clear it
    }
    const Interruption next;  // the signal is consumed
    EXPECT_FALSE(next.pending().has_value());
  }
}

TEST(Interruption, ReachesAnyThread) {
  const Interruption interruption;
  std::optional<int> seen;
  std::thread other([&] { seen = signal_of(interruption); });
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  other.join();
  EXPECT_EQ(seen, SIGTERM);
}

/// Runs `body` in a child process and returns its wait status.
template <class Body>
int in_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(Interruption, ASecondSignalEndsTheProcessAtOnce) {
  const int status = in_child([] {
    const Interruption interruption;
    ::kill(::getpid(), SIGINT);
    std::this_thread::sleep_for(2 * Interruption::kRepetition);
    ::kill(::getpid(), SIGTERM);
    std::this_thread::sleep_for(std::chrono::seconds(20));  // does not poll
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

TEST(Interruption, ARepetitionIsNotASecondSignal) {
  const int status = in_child([] {
    const Interruption interruption;
    ::kill(::getpid(), SIGINT);
    signal_of(interruption);
    ::kill(::getpid(), SIGINT);
    std::this_thread::sleep_for(2 * Interruption::kRepetition);
    ::_exit(interruption.pending() == SIGINT ? 7 : 8);
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

// nohup, and jobs that a shell starts in the background.
TEST(Interruption, IgnoredSignalsStayIgnored) {
  const int status = in_child([] {
    std::signal(SIGHUP, SIG_IGN);
    const Interruption interruption;
    ::kill(::getpid(), SIGHUP);
    std::this_thread::sleep_for(milliseconds(50));
    ::_exit(interruption.pending() ? 8 : 7);
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace apam::cli
