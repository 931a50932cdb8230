// NCCL for the guarded GPU: replaces kernels/nccl in a test program that links this file. The ranks of a group meet in shared
// memory when their streams reach the same call, and sum in the order of the ranks. The environment variable
// GUARDED_NCCL_ABSENT makes NCCL absent in a process, GUARDED_NCCL_FAILS makes its work fail.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "kernels/nccl/gpu_group.h"
#include "tests/kernels/cuda/guarded/guarded_gpu.h"

namespace apam::kernels::nccl {
namespace {

constexpr std::size_t kPiece = 4096;  // floats
constexpr int kMostRanks = 8;

struct Meeting {
  std::atomic<bool> ready;
  pthread_barrier_t barrier;
  float pieces[kMostRanks][kPiece];
};

Meeting* open_meeting(const std::string& name) {
  const int file = ::shm_open(name.c_str(), O_RDWR, 0600);
  require<DeviceError>(file >= 0, "guarded NCCL: there is no group '{}'", name);
  void* const memory = ::mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  require<DeviceError>(memory != MAP_FAILED, "guarded NCCL: {} bytes of '{}' cannot be mapped", sizeof(Meeting), name);
  return static_cast<Meeting*>(memory);
}

class GuardedGroup final : public GpuGroup {
 public:
  GuardedGroup(const std::string& name, int rank, int ranks) : meeting_(open_meeting(name)), rank_(rank), ranks_(ranks) {
    if (rank == 0) {
      pthread_barrierattr_t shared;
      ::pthread_barrierattr_init(&shared);
      ::pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
      ::pthread_barrier_init(&meeting_->barrier, &shared, static_cast<unsigned>(ranks));
      meeting_->ready = true;
    }
    while (!meeting_->ready) std::this_thread::yield();
    meet();
    if (rank == 0) ::shm_unlink(name.c_str());
  }
  ~GuardedGroup() override { ::munmap(meeting_, sizeof(Meeting)); }
  GuardedGroup(const GuardedGroup&) = delete;
  GuardedGroup& operator=(const GuardedGroup&) = delete;

  void sum(const Stream& stream, Span<float> values, float factor) override {
    support::give_work(stream, [=, this] {
      in_pieces(values, [&](float* piece, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) meeting_->pieces[rank_][i] = factor * piece[i];
        meet();
        for (std::size_t i = 0; i < count; ++i) {
          piece[i] = meeting_->pieces[0][i];
          for (int rank = 1; rank < ranks_; ++rank) piece[i] += meeting_->pieces[rank][i];
        }
        meet();
      });
    });
  }
  void broadcast(const Stream& stream, Span<float> values) override {
    support::give_work(stream, [=, this] {
      in_pieces(values, [&](float* piece, std::size_t count) {
        if (rank_ == 0) std::copy_n(piece, count, meeting_->pieces[0]);
        meet();
        std::copy_n(meeting_->pieces[0], count, piece);
        meet();
      });
    });
  }
  void check() override {
    require<DeviceError>(std::getenv("GUARDED_NCCL_FAILS") == nullptr, "nccl: earlier work on the guarded GPU: failed{}", "");
  }

 private:
  static void in_pieces(Span<float> values, const auto& work) {
    for (std::size_t at = 0; at < values.size(); at += kPiece) {
      work(values.data() + at, std::min(kPiece, values.size() - at));
    }
  }
  void meet() const { ::pthread_barrier_wait(&meeting_->barrier); }

  Meeting* meeting_;
  int rank_, ranks_;
};

}  // namespace

std::string new_group() {
  static int groups = 0;
  std::string name = fmt::format("/apam-guarded-nccl-{}-{}", ::getpid(), groups++);
  const int file = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  require<DeviceError>(file >= 0 && ::ftruncate(file, sizeof(Meeting)) == 0, "guarded NCCL: no shared memory of {} bytes",
                       sizeof(Meeting));
  ::close(file);
  return name;
}

std::unique_ptr<GpuGroup> join_group(const std::string& name, int rank, int ranks, Device) {
  require<DeviceError>(ranks <= kMostRanks, "guarded NCCL: {} ranks, at most {}", ranks, kMostRanks);
  return std::make_unique<GuardedGroup>(name, rank, ranks);
}

const std::string& absence() {
  static const std::string reason = std::getenv("GUARDED_NCCL_ABSENT") == nullptr ? "" : "not found: by request";
  return reason;
}
std::string status() { return absence().empty() ? "guarded" : absence(); }

}  // namespace apam::kernels::nccl
