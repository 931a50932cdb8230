// The exchange over MPI, from and to host buffers. Rank 0 is the master, rank r > 0 is worker r - 1.
//
//   tag 1  worker -> master   GradientHeader             tag 3  master -> worker   Reply
//   tag 2  worker -> master   contribution, floats       tag 4  master -> worker   weights, floats; not after a stop
//
// All sends and receives are non-blocking. The master keeps a receive posted for every worker that it has answered, and
// sends from a copy of the weights of its own for each worker, since the weights change while a send is under way. MPI moves
// large messages only inside its calls: while the master applies an update, nothing else moves.
// Waits poll with a growing pause (apam/exchange/backoff.h).
#pragma once

#include <memory>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/transport.h"

namespace apam::exchange::mpi {

/// Floats of the messages. All ranks must agree.
struct MessageSizes {
  std::size_t contribution = 0;  ///< [ gradients | batch statistics ]
  std::size_t weights = 0;
};

/// Both are collective: rank 0 makes the master's end while all others make theirs. Throw ExchangeError when the sizes of two
/// ranks differ or exceed what one message can carry, or when MPI fails, then and later; DeviceError for memory that is not
/// the CPU's.
std::unique_ptr<MasterTransport> make_master_transport(const Environment& environment, const MessageSizes& sizes);
std::unique_ptr<WorkerTransport> make_worker_transport(const Environment& environment, const MessageSizes& sizes);

}  // namespace apam::exchange::mpi
