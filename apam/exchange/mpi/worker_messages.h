// The messages between a master and the workers. All but mark_updates() runs in the progress thread. Only for this folder.
//
// Each worker has a slot: a buffer for its contribution, the version of the weights on its way to it, and requests. A gradient
// has arrived when its header and all its parts have, in any order, and the reply before it has been sent. Of several masters
// each receives and sends its own range; memory of the others is never touched.
//
// A master on a GPU whose memory MPI does not take: MPI uses pinned host memory. Parts are copied to the GPU as they arrive,
// and a version to the host once, for all workers that it is sent to. This thread waits for the update that makes it, and for
// the copy. With DeviceBuffers::direct, MPI uses the memory of contributions and versions; this thread waits for the update.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "apam/exchange/mpi/parts.h"
#include "apam/exchange/mpi/protocol.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange::mpi {

class WorkerMessages {
 public:
  /// Called with a gradient that has arrived. Its values are the receiver's until the reply to its worker.
  using Arrive = std::function<void(const GradientMessage&)>;

  /// Of this rank, which is a master. Its requests begin at place 0 of `requests`. `updates`: of a master on a GPU, the stream
  /// that contributions are read and versions are written on; it must outlive the messages. Throws ExchangeError for
  /// DeviceBuffers::direct with values in bfloat16.
  WorkerMessages(const Peers& peers, Requests& requests, Channel& channel, Arrive arrive, const Stream* updates = nullptr,
                 DeviceBuffers buffers = DeviceBuffers::staged);
  ~WorkerMessages();
  WorkerMessages(const WorkerMessages&) = delete;
  WorkerMessages& operator=(const WorkerMessages&) = delete;

  /// How many requests it has.
  static std::size_t places(const Peers& peers);

  /// In the thread that updates, before the command to send(): what it has given to its stream comes before the messages of the
  /// reply. No other thread uses the mark then: replies to a worker and its gradients alternate.
  void mark_updates(int worker);
  void send(int worker, const Reply& reply, const VersionRef& version);
  void cancel(int worker, std::int64_t computed_at);
  /// One of its places.
  void complete(const Requests::Completed& one);

  /// Whether values are on their way.
  bool transfers() const;

  /// Of weights sent and contributions received. For any thread.
  std::int64_t copied_bytes() const { return copied_bytes_; }
  /// Where the contribution of a worker is (contribution). For any thread.
  Span<float> values(int worker) const { return (*slots_)[static_cast<std::size_t>(worker)].values.as<float>(); }

 private:
  struct Slot {
    GradientHeader header;
    ToWorker reply, cancellation;
    Buffer values;                               // (contribution)
    Buffer staged;                               // (contribution), if it is copied to a GPU: as it comes
    Buffer rounded;                              // (weights of the range) in bfloat16: the gradients as they come
    VersionRef version;                          // in flight to the worker; of several masters, until its next gradient
    std::shared_ptr<const Buffer> version_copy;  // or this
    std::optional<apam::Event> updated;          // of a master on a GPU: mark_updates()
    bool expected = false;                       // a gradient
    std::size_t missing = 0;                     // its messages that have not arrived
    std::size_t empty = 0;                       // its parts that came without values
  };

  Slot& slot_of(int worker) const { return (*slots_)[static_cast<std::size_t>(worker)]; }
  int rank_of(int worker) const { return roles_.rank_of_worker(worker); }
  std::size_t place(int worker, std::size_t which) const { return places_ * static_cast<std::size_t>(worker) + which; }
  void expect_gradient(int worker);
  std::span<const std::byte> outgoing(Slot& slot, const VersionRef& version);
  std::shared_ptr<Buffer> copy_of(const VersionRef& version);
  std::span<const float> host_values(ConstSpan<float> weights);
  std::shared_ptr<Buffer> unused_buffer();
  Buffer message_memory(std::size_t bytes) const;
  bool rounds(const Part& part) const { return sizes_.wire == Wire::bfloat16 && part.offset < sizes_.weights; }
  std::span<std::byte> incoming(const Slot& slot, const Part& part) const;
  std::span<BFloat16> rounded(const Slot& slot, const Part& part) const;
  Span<float> received(const Slot& slot, const Part& part) const;
  void take_part(int worker, const Part& part, int bytes);
  void hand_over(int worker);

  MessageSizes sizes_;
  Roles roles_;
  ShardRange range_;
  std::vector<Part> parts_;
  std::size_t places_;  // of a worker
  Requests& requests_;
  Channel& channel_;
  Arrive arrive_;
  const Stream* updates_;
  std::optional<Stream> copies_;  // of a master on a GPU, from and to host memory
  Buffer unrounded_;              // (weights) of such a master: a version that is being rounded
  std::unique_ptr<std::vector<Slot>> slots_;
  std::vector<std::shared_ptr<Buffer>> version_copies_;  // as they travel, one per worker and one at most
  std::shared_ptr<Buffer> newest_copy_;                  // of the version sent last
  std::int64_t newest_ = 0;                              // its number
  std::atomic<std::int64_t> copied_bytes_ = 0;
};

}  // namespace apam::exchange::mpi
