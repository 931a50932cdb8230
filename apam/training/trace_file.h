// The file of --trace: what all ranks did, on one clock, in the JSON format of Chrome's tracing ("traceEvents"), which Perfetto
// (ui.perfetto.dev) and chrome://tracing show. A process is a rank, a thread is a track of it, times are microseconds since the
// first event of the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apam/exchange/drivers/trace.h"

namespace apam::training {

/// Events kept per track, and of all ranks together: the file has at most about 130 MB.
constexpr std::size_t kTraceEventsPerTrack = std::size_t{1} << 15U;
constexpr std::size_t kTraceEvents = std::size_t{1} << 20U;

/// Of each track, for a number of ranks.
std::size_t trace_capacity(int ranks);

/// What one rank recorded.
struct RankTrace {
  struct Track {
    std::string name;
    std::int64_t dropped = 0;
    std::vector<exchange::TraceEvent> events;
  };
  std::string name;               ///< "worker 0"
  std::int64_t clock_offset = 0;  ///< nanoseconds: its clock minus that of rank 0
  std::int64_t clock_error = 0;   ///< bound of the error of the offset
  std::vector<Track> tracks{};

  void add(const exchange::TraceTrack& track);

  /// For transfer between ranks of the same build.
  std::string to_bytes() const;
  /// Throws InputError for anything but the result of to_bytes().
  static RankTrace from_bytes(std::string_view bytes);
};

/// Writes the file, completely or not at all. `ranks`: by rank; one without tracks is missing in the file. Throws InputError if
/// it cannot be written.
void write_trace(const std::filesystem::path& path, std::span<const RankTrace> ranks);

}  // namespace apam::training
