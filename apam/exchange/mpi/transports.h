// The exchange over MPI, from and to host buffers. Rank 0 is the master, rank r > 0 is worker r - 1.
//
//   tag 1  worker -> master   GradientHeader, after the parts of its contribution
//   tag 2  worker -> master   contribution, in parts (parts.h); parts without values if cancelled
//   tag 3  master -> worker   reply or cancellation
//   tag 4  master -> worker   weights, after a reply to proceed
//
// In each rank one thread makes all MPI calls between the construction of the transport and its end: MPI moves large messages
// only inside its calls, so contributions arrive and weights leave while the master applies an update. It and the thread that
// computes hand work to each other (handoff.h) and never wait for each other's work. A worker's parts leave while it computes.
// All sends and receives are non-blocking, and their memory is that of the caller: the version of the weights, the contribution
// of a worker, and the weights of a worker; in bfloat16 buffers of the transport. A thread that waits sleeps, or polls with
// back-off (backoff.h).
#pragma once

#include <memory>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/transport.h"

namespace apam::exchange::mpi {

/// Values of gradients and weights on their way. bfloat16: rounded to nearest, ties to even; batch statistics stay float32.
enum class Wire : std::uint8_t { float32, bfloat16 };

/// In floats. All ranks must agree on these.
struct MessageSizes {
  std::size_t contribution = 0;              ///< [ gradients | batch statistics ]
  std::size_t weights = 0;                   ///< and gradients
  std::size_t part = std::size_t{1} << 20U;  ///< of a contribution: 4 MiB, each with a small message ahead of its values
  Wire wire = Wire::float32;
};

/// How messages are sent. A synchronous send ends only once its receive has begun: a test that the exchange does not rely on
/// MPI's buffers.
enum class Sends : std::uint8_t { standard, synchronous };

/// Collective: rank 0 makes the master's side while all others make a worker's side. They and the results throw ExchangeError
/// if the sizes of two ranks differ or exceed one message, or if MPI fails; DeviceError for memory other than the CPU's, or if
/// the system refuses a thread. A worker receives into `weights`, or into `weights` and `second` in turns: then a delivery
/// stays while the next one arrives (keeps_weights()). Both must outlive its transport, after an error the process. The caller
/// makes no MPI calls until the master's finish() has returned, or a worker has pulled a stop, or the transport is destroyed.
std::unique_ptr<MasterTransport> make_master_transport(const Environment& environment, const MessageSizes& sizes,
                                                       Sends sends = Sends::standard);
std::unique_ptr<WorkerTransport> make_worker_transport(const Environment& environment, const MessageSizes& sizes,
                                                       Span<float> weights, Sends sends = Sends::standard,
                                                       Span<float> second = {});

}  // namespace apam::exchange::mpi
