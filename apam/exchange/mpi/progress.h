// The thread of a transport that makes all MPI calls between set-up and end. Only for this folder.
//
//   repeat   take commands of the other thread: wait for them as long as the back-off says
//            start their messages
//            poll: progresses all messages, hands over what is complete
//
// It ends when no command follows and no message is in flight, or at once if it is abandoned or has failed.
#pragma once

#include <atomic>
#include <cerrno>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>

#include "apam/exchange/handoff.h"
#include "apam/exchange/mpi/check.h"
#include "apam/exchange/mpi/moving_polls.h"
#include "kernels/runtime/start_thread.h"

namespace apam::exchange::mpi {

/// Processor time of this thread.
inline double thread_seconds() {
  timespec time{};
  require<ExchangeError>(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0, "mpi: no clock of the thread, error {}", errno);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// `Command` comes from the thread that computes.
template <class Command>
class ProgressThread {
 public:
  /// What it calls. All of them may throw.
  struct Calls {
    std::function<void(Command&)> start;
    std::function<void(const Requests::Completed&)> complete;
    std::function<Backoff::Waiting()> waiting;     ///< what for, if nothing has happened
    std::function<void(std::exception_ptr)> fail;  ///< the thread has failed and ends
  };

  /// Does not start it. The requests must outlive it.
  ProgressThread(Requests& requests, Calls calls) : requests_(requests), calls_(std::move(calls)) {}

  ~ProgressThread() { abandon(); }
  ProgressThread(const ProgressThread&) = delete;
  ProgressThread& operator=(const ProgressThread&) = delete;

  void start() {
    thread_ = start_thread("mpi", 1, 1, [this] { serve(); });
  }

  void put(Command command) { commands_.put(std::move(command)); }

  /// No command follows. Returns when all messages are complete, or the thread has failed. From then on others may call MPI.
  void finish() {
    commands_.close();
    if (thread_.joinable()) thread_.join();
  }

  /// Ends the thread and leaves messages in flight as they are. Without effect after finish().
  void abandon() {
    abandoned_ = true;
    finish();
  }

 private:
  // After a poll that may have moved values the next one follows at once. While this side moves nothing, as the sender of
  // values that the receiver copies from its memory, its polls become as rare as those of an idle rank.
  void serve() {
    try {
      std::vector<Command> commands;
      Backoff backoff;
      Duration pause{};
      MovingPolls polls;
      bool streams = false;  // values have been moved since the last wait without messages
      for (bool open = true; open || requests_.any_active();) {
        if (open) {
          open = commands_.take(commands, pause);
        } else {
          std::this_thread::sleep_for(pause);
        }
        if (abandoned_) return;
        for (Command& command : commands) calls_.start(command);
        const bool started = !commands.empty();
        commands.clear();  // they hold references to versions
        const double before = thread_seconds();
        const auto completed = requests_.test("mpi: a message between two ranks");
        for (const auto& one : completed) calls_.complete(one);
        polls.add(thread_seconds() - before);
        if (polls.moved() || started) backoff.reset();
        const Backoff::Waiting waiting = calls_.waiting();
        streams = polls.moved() || (streams && waiting == Backoff::Waiting::transfer);
        pause = polls.may_move() || !completed.empty() ? Duration{} : backoff.next(streams ? waiting : Backoff::Waiting::idle);
        if (pause.count() == 0) std::this_thread::yield();
      }
    } catch (...) {
      calls_.fail(std::current_exception());
    }
  }

  Requests& requests_;
  Calls calls_;
  Handoff<Command> commands_;
  std::atomic<bool> abandoned_ = false;
  std::jthread thread_;
};

}  // namespace apam::exchange::mpi
