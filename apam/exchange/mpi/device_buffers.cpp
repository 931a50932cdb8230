#include "apam/exchange/mpi/device_buffers.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/protocol.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange::mpi {
namespace {

constexpr std::size_t kFloats[] = {std::size_t{1} << 14U, std::size_t{1} << 18U, std::size_t{12} << 20U};
constexpr std::size_t kMostFloats = kFloats[2];

struct Memory {
  Buffer sent, received;
};

std::string claim(Device device) {
  if (device.kind == DeviceKind::cpu) return {};
  int takes = 0;
  check(MPIX_GPU_query_support(MPIX_GPU_SUPPORT_CUDA, &takes), "MPIX_GPU_query_support");
  return takes != 0 ? "" : "MPI takes no memory of GPUs";
}

/// What a rank sends: integers of 24 bits, which differ between ranks and between neighbours.
std::vector<float> pattern(int rank, std::size_t count) {
  std::vector<float> values(count);
  std::uint32_t hash = static_cast<std::uint32_t>(rank) * 0x85EBCA6BU;
  for (float& value : values) value = static_cast<float>((hash += 0x9E3779B1U) >> 8U);
  return values;
}

/// Sends a pattern to the next rank and examines that of the rank before.
std::string error_in(const Communicator& communicator, const Parked<Memory>& memory, std::size_t count) {
  const int ranks = communicator.ranks(), next = (communicator.rank() + 1) % ranks;
  const int before = (communicator.rank() + ranks - 1) % ranks;
  const Span<float> sent = memory->sent.as<float>().subspan(0, count),
                    received = memory->received.as<float>().subspan(0, count);
  const std::vector<float> mine = pattern(communicator.rank(), count);
  copy(ConstSpan<float>(std::span(mine)), sent);
  zero(received);
  Requests requests(2);
  Channel channel(communicator, requests, Sends::standard);
  channel.receive(0, bytes_of_any_memory(received), {before, kContribution, "MPI_Irecv into memory of a device"});
  channel.send(1, bytes_of_any_memory(sent), {next, kContribution, "MPI_Isend from memory of a device"});
  for (Backoff backoff; requests.any_active();) {
    if (requests.test("MPI: a message from or to memory of a device").empty()) backoff.pause(Backoff::Waiting::transfer);
  }
  std::vector<float> arrived(count);
  copy(ConstSpan<float>(received), Span<float>(std::span(arrived)));
  const std::vector<float> expected = pattern(before, count);
  const auto first = std::ranges::mismatch(arrived, expected).in1 - arrived.begin();
  if (first == static_cast<std::ptrdiff_t>(count)) return {};
  return fmt::format("MPI delivers {} for {} from rank {}, at float {} of {}", arrived[static_cast<std::size_t>(first)],
                     expected[static_cast<std::size_t>(first)], before, first, count);
}

std::string first_of(const std::vector<std::string>& reasons) {
  for (std::size_t rank = 0; rank < reasons.size(); ++rank) {
    if (!reasons[rank].empty()) return fmt::format("rank {}: {}", rank, reasons[rank]);
  }
  return {};
}

}  // namespace

std::string absence_of_device_buffers(const Environment& environment, Device device) {
  if (std::string absence = first_of(all_gather_strings(environment, claim(device))); !absence.empty()) return absence;
  const Communicator communicator;
  Parked<Memory> memory;
  memory->sent = Buffer(device, kMostFloats * sizeof(float));
  memory->received = Buffer(device, kMostFloats * sizeof(float));
  std::string error;
  for (const std::size_t count : kFloats) {
    const std::string found = error_in(communicator, memory, count);
    if (error.empty()) error = found;
  }
  memory.done();
  return first_of(all_gather_strings(environment, error));
}

}  // namespace apam::exchange::mpi
