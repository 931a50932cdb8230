// Whether MPI takes memory of the guarded GPU, under mpiexec.
#include <gtest/gtest.h>

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/device_buffers.h"
#include "apam/exchange/mpi/transports.h"
#include "kernels/runtime/buffer.h"
#include "tests/exchange/mpi_world.h"
#include "tests/kernels/cuda/guarded/guarded_mpi.h"
#include "tests/support/throws.h"

namespace apam::support {
namespace {

using exchange::test::world;

constexpr Device kGpu{DeviceKind::cuda};

std::string absence(MpiTakes memory, Device device) {
  let_mpi_take(memory);
  std::string reason = exchange::mpi::absence_of_device_buffers(world(), device);
  let_mpi_take(MpiTakes::host_memory);
  return reason;
}

TEST(DeviceBuffers, AreThereIfMpiTakesThem) {
  EXPECT_EQ(absence(MpiTakes::all_memory, kGpu), "");
  EXPECT_EQ(absence(MpiTakes::all_memory, world().rank() == 0 ? Device{} : kGpu), "");
  EXPECT_EQ(absence(MpiTakes::host_memory, {}), "");
}

TEST(DeviceBuffers, AreAbsentIfARankHasAnMpiThatDoesNotTakeThem) {
  EXPECT_EQ(absence(MpiTakes::host_memory, kGpu), "rank 0: MPI takes no memory of GPUs");
  EXPECT_EQ(absence(world().rank() == 1 ? MpiTakes::host_memory : MpiTakes::all_memory, kGpu),
            "rank 1: MPI takes no memory of GPUs");
}

TEST(DeviceBuffers, AreAbsentIfValuesDoNotArrive) {
  const std::string reason = absence(world().rank() == 1 ? MpiTakes::claims_to_take : MpiTakes::all_memory, kGpu);
  EXPECT_TRUE(reason.starts_with("rank 1: MPI delivers 0 for ")) << reason;
  EXPECT_TRUE(reason.ends_with(" from rank 0, at float 0 of 16384")) << reason;
}

TEST(DeviceBuffers, AreRefusedIfTheyCannotBeUsed) {
  constexpr std::size_t kWeights = 16;
  const Stream stream(kGpu);
  const Buffer memory(kGpu, kWeights * sizeof(float));
  const exchange::mpi::MessageSizes exact{.contribution = kWeights, .weights = kWeights};
  exchange::mpi::MessageSizes rounded = exact;
  rounded.wire = exchange::mpi::Wire::bfloat16;
  const bool master = world().rank() == 0;
  const exchange::mpi::Peers peers(world(), rounded);
  EXPECT_TRUE(throws<exchange::ExchangeError>({"rounded in host memory", "16 weights"}, [&] {
    master ? static_cast<void>(make_master_transport(peers, &stream, exchange::mpi::DeviceBuffers::direct))
           : static_cast<void>(make_worker_transport(peers, memory.as<float>(), {}, &stream));
  }));
  const exchange::mpi::Peers exact_peers(world(), exact);
  if (master) return;
  EXPECT_TRUE(throws<DeviceError>({"room for weights", "cuda:0", "expected cpu"},
                                  [&] { make_worker_transport(exact_peers, memory.as<float>()); }));
  const Buffer host({}, kWeights * sizeof(float));
  EXPECT_TRUE(throws<DeviceError>({"room for weights", "cpu", "expected cuda:0"},
                                  [&] { make_worker_transport(exact_peers, host.as<float>(), {}, &stream); }));
}

}  // namespace
}  // namespace apam::support
