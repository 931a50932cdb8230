// The exchange over MPI, from and to host buffers. Rank 0 is the master, rank r > 0 is worker r - 1.
//
//   tag 1  worker -> master   GradientHeader             tag 3  master -> worker   Reply
//   tag 2  worker -> master   contribution, floats;      tag 4  master -> worker   weights, floats; not after a stop
//                             none if cancelled          tag 5  master -> worker   version whose computation is cancelled
//
// All sends and receives are non-blocking. The master keeps a receive posted for every worker that it has replied to. It sends
// weights from the memory of the version; a worker receives them in its own memory. MPI moves large messages only inside its
// calls, so nothing moves while the master applies an update. Waits poll with back-off (backoff.h).
#pragma once

#include <memory>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/transport.h"

namespace apam::exchange::mpi {

/// In floats. All ranks must agree.
struct MessageSizes {
  std::size_t contribution = 0;  ///< [ gradients | batch statistics ]
  std::size_t weights = 0;
};

/// Collective: rank 0 makes the master's side while all others make a worker's side. They and the results throw ExchangeError
/// if the sizes of two ranks differ or exceed one message, or if MPI fails; DeviceError for memory other than the CPU's. A
/// worker receives into `weights`, which must outlive its transport.
std::unique_ptr<MasterTransport> make_master_transport(const Environment& environment, const MessageSizes& sizes);
std::unique_ptr<WorkerTransport> make_worker_transport(const Environment& environment, const MessageSizes& sizes,
                                                       Span<float> weights);

}  // namespace apam::exchange::mpi
