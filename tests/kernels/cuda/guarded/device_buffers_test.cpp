// Whether MPI takes memory of the guarded GPU, under mpiexec.
#include <gtest/gtest.h>

#include <algorithm>

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/device_buffers.h"
#include "apam/exchange/mpi/transports.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/host_values.h"
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

// The work is a copy that the stream has not begun when the message is handed over.
TEST(DeviceBuffers, LeaveAfterTheWorkOfTheStream) {
  constexpr std::size_t kWeights = 16;
  let_mpi_take(MpiTakes::all_memory);
  const exchange::mpi::Peers peers(world(), {.contribution = kWeights, .weights = kWeights});
  const Stream stream(kGpu);
  const Buffer result(kGpu, kWeights * sizeof(float), MemoryKind::pinned);
  std::ranges::fill(result.as<float>().host(), 3.0F);
  if (world().rank() == 0) {
    const int workers = world().ranks() - 1;
    exchange::WeightHistory history(kGpu, {kWeights, 0, 1, exchange::HistoryLayout::slots_for(workers, 1)});
    const Buffer zeros(kGpu, kWeights * sizeof(float));
    zero(zeros.as<float>());
    history.publish_first(zeros.as<float>());
    const auto transport = make_master_transport(peers, &stream, exchange::mpi::DeviceBuffers::direct);
    exchange::WritableVersion version = history.begin_next();
    copy(stream, result.as<float>(), version.state());
    history.publish(std::move(version));
    for (int worker = 0; worker < workers; ++worker) {
      transport->send(worker, {.lease_count = 1, .leases = {worker}, .version = 1}, history.current());
    }
    for (int arrived = 0; arrived < workers;) {
      for (const exchange::GradientMessage& message : transport->poll(std::chrono::seconds(1))) {
        EXPECT_EQ(host_values(message.values), std::vector<float>(kWeights, 3.0F));
        transport->send(message.worker, {.verdict = exchange::Verdict::stop, .version = 1}, {});
        ++arrived;
      }
    }
    transport->finish();
  } else {
    const Buffer weights(kGpu, kWeights * sizeof(float)), contribution(kGpu, kWeights * sizeof(float));
    zero(contribution.as<float>());
    const auto transport = make_worker_transport(peers, weights.as<float>(), {}, &stream);
    EXPECT_EQ(host_values(transport->pull().weights), std::vector<float>(kWeights, 3.0F));
    copy(stream, result.as<float>(), contribution.as<float>());
    transport->push({.batch = 0, .rows = 1}, contribution.as<float>());
    EXPECT_EQ(transport->pull().reply.verdict, exchange::Verdict::stop);
  }
  let_mpi_take(MpiTakes::host_memory);
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
