#include "apam/exchange/mpi/environment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <thread>
#include <vector>

#include "apam/exchange/mpi/check.h"
#include "apam/exchange/mpi/deadline.h"
#include "apam/exchange/mpi/launch.h"
#include "apam/exchange/mpi/mpiexec.h"

namespace apam::exchange::mpi {
namespace {

// No rank may enter MPI_Finalize while another one still makes MPI calls. MPI_Finalize closes UCX connections, and over TCP the
// peer must acknowledge a close. A rank that still polls in the barrier acknowledges the closes of the others; they then wait
// in a barrier of the launcher and never acknowledge its own. So all ranks sleep after the barrier: its last poll is at most a
// millisecond away.
constexpr std::chrono::milliseconds kQuiet{100};

/// Closes the file of `descriptor` under all its descriptors: Hydra starts a process with two per output.
void close_everywhere(int descriptor) {
  struct stat own {
  }, other{};
  const int nothing = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nothing < 0 || ::fstat(descriptor, &own) != 0) return;
  constexpr int kMost = 1024;
  for (int each = 0; each < kMost; ++each) {
    if (::fstat(each, &other) == 0 && other.st_dev == own.st_dev && other.st_ino == own.st_ino) ::dup2(nothing, each);
  }
}

// Hydra checks for exited processes when an output of one of its processes closes, but not after the last one has closed. If
// all ranks of a host exit together, their exit codes may be lost. So odd ranks let the others exit first, then close standard
// error, and exit a moment later.
void let_others_exit_first() {
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  close_everywhere(STDERR_FILENO);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

void refuse_wrong_launcher(int ranks, int argc, const char* const* argv) {
  const std::vector<std::string> command(argv, argv + argc);
  const auto fault = launch_fault(process_environment, ranks, launcher(), command);
  if (!fault) return;
  MPI_Finalize();
  if (!fault->reports) {
    // A launcher ends the whole job when the first process fails, so the one that reports must be first.
    std::this_thread::sleep_for(std::chrono::seconds(1));
    _exit(1);
  }
  throw ExchangeError(fault->message);
}

}  // namespace

Environment::Environment(int argc, const char* const* argv, Threads threads)
    : exceptions_(std::uncaught_exceptions()), threads_(threads) {
  const int required = threads == Threads::one ? MPI_THREAD_SERIALIZED : MPI_THREAD_MULTIPLE;
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(nullptr, nullptr, required, &provided), "MPI_Init_thread");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(MPI_COMM_WORLD, &ranks_), "MPI_Comm_size");
  require<ExchangeError>(provided >= required, "mpi: the library provides thread level {}, {} ({}) is required", provided,
                         threads == Threads::one ? "MPI_THREAD_SERIALIZED" : "MPI_THREAD_MULTIPLE", required);
  refuse_wrong_launcher(ranks_, argc, argv);
}

Environment::~Environment() {
  if (std::uncaught_exceptions() == exceptions_) finish(0);
}

int Environment::finish(int status) noexcept {
  if (finished_) return status;
  finished_ = true;
  try {
    barrier();
  } catch (const MpiError&) {
    return status;  // MPI cannot be ended without all ranks
  }
  if (ranks_ > 1) std::this_thread::sleep_for(kQuiet);
  const Deadline deadline(std::chrono::seconds(10), status);  // it takes a few milliseconds
  MPI_Finalize();
  if (status != 0 && rank_ % 2 == 1) let_others_exit_first();
  return status;
}

void end_job(int status) noexcept {
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  if (started != 0 && ended == 0) {
    // mpiexec ends the job at once and loses what it has not yet read from the ranks' pipes. The caller has reported the
    // error, so the output of MPI_Abort is discarded.
    std::fflush(nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (std::freopen("/dev/null", "w", stderr) == nullptr) std::_Exit(status);
    MPI_Abort(MPI_COMM_WORLD, status);
  }
  std::_Exit(status);
}

void leave_job(int status) noexcept {
  std::fflush(nullptr);
  std::this_thread::sleep_for(kQuiet);  // other ranks may still receive what this one has sent
  std::_Exit(status);
}

std::string library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  const std::string_view lines(text.data(), static_cast<std::size_t>(length));
  // MPICH's text has lines of a name, a colon, white space, and a value.
  const auto value = [&](std::string_view name) -> std::string {
    const auto at = lines.find(name);
    if (at == std::string_view::npos) return "unknown";
    const auto begin = lines.find_first_not_of(" \t", at + name.size());
    return std::string(lines.substr(begin, lines.find('\n', begin) - begin));
  };
  return fmt::format("MPICH {}, {}", value("MPICH Version:"), value("MPICH Device:"));
}

std::string_view launcher() { return kMpiexec; }

}  // namespace apam::exchange::mpi
