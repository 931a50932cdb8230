#include "apam/training/trace_file.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

#include "apam/training/json_text.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"

namespace apam::training {

using exchange::TraceEvent;

std::size_t trace_capacity(int ranks) {
  return std::min(kTraceEventsPerTrack, kTraceEvents / static_cast<std::size_t>(ranks + 1));  // rank 0 may have two tracks
}

void RankTrace::add(const exchange::TraceTrack& track) {
  tracks.push_back({track.name(), track.dropped(), {track.events().begin(), track.events().end()}});
}

// One line of JSON, then the events as they are in memory.
std::string RankTrace::to_bytes() const {
  Json head{{"name", name}, {"clock_offset", clock_offset}, {"clock_error", clock_error}, {"tracks", Json::array()}};
  for (const Track& track : tracks) {
    head["tracks"].push_back({{"name", track.name}, {"dropped", track.dropped}, {"events", track.events.size()}});
  }
  std::string bytes = head.dump() + "\n";
  for (const Track& track : tracks) {
    const auto raw = std::as_bytes(std::span(track.events));
    bytes.append(reinterpret_cast<const char*>(raw.data()), raw.size());
  }
  return bytes;
}

RankTrace RankTrace::from_bytes(std::string_view bytes) {
  const std::size_t line = bytes.find('\n');
  require<InputError>(line != std::string_view::npos, "trace: {} bytes of a rank without a head", bytes.size());
  try {
    const Json head = Json::parse(bytes.substr(0, line));
    bytes.remove_prefix(line + 1);
    RankTrace trace{.name = head.at("name"), .clock_offset = head.at("clock_offset"), .clock_error = head.at("clock_error")};
    for (const Json& track : head.at("tracks")) {
      const std::size_t events = track.at("events");
      require<InputError>(events <= bytes.size() / sizeof(TraceEvent), "trace: {} events in {} bytes", events, bytes.size());
      trace.tracks.push_back({track.at("name"), track.at("dropped"), std::vector<TraceEvent>(events)});
      if (events > 0) std::memcpy(trace.tracks.back().events.data(), bytes.data(), events * sizeof(TraceEvent));
      bytes.remove_prefix(events * sizeof(TraceEvent));
    }
    return trace;
  } catch (const Json::exception& error) {
    fail<InputError>("trace: a head that is not valid: {}", error.what());
  }
}

namespace {

/// Of all events, on the clock of rank 0; 0 without events.
std::int64_t first_begin(std::span<const RankTrace> ranks) {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const RankTrace& rank : ranks) {
    for (const auto& track : rank.tracks) {
      for (const TraceEvent& event : track.events) first = std::min(first, event.begin - rank.clock_offset);
    }
  }
  return first == std::numeric_limits<std::int64_t>::max() ? 0 : first;
}

/// An element of "traceEvents". `origin`: time 0 of the file, on the clock of the event.
void append(std::string& text, const TraceEvent& event, std::int64_t origin, std::size_t pid, std::size_t tid) {
  const exchange::TraceKindInfo& kind = info(event.kind);
  auto out = std::back_inserter(text);
  const auto microseconds = [](std::int64_t ns) { return static_cast<double>(ns) * 1e-3; };
  out = fmt::format_to(out, R"({{"name":"{}","ph":"{}","ts":{:.3f},"pid":{},"tid":{})", kind.name, kind.mark ? "i" : "X",
                       microseconds(event.begin - origin), pid, tid);
  out = kind.mark ? fmt::format_to(out, R"(,"s":"t")")
                  : fmt::format_to(out, R"(,"dur":{:.3f})", microseconds(event.end - event.begin));
  out = fmt::format_to(out, R"(,"args":{{)");
  std::string_view comma;
  const auto argument = [&](std::string_view name, std::int64_t value) {
    if (value < 0 || name.empty()) return;
    out = fmt::format_to(out, R"({}"{}":{})", std::exchange(comma, ","), name, value);
  };
  argument("version", event.version);
  argument(kind.number, event.number);
  argument("worker", event.worker);
  fmt::format_to(out, "}}}}");
}

Json metadata(std::string_view what, std::size_t pid, std::size_t tid, Json arguments) {
  return {{"name", what}, {"ph", "M"}, {"pid", pid}, {"tid", tid}, {"args", std::move(arguments)}};
}

constexpr std::size_t kChunk = std::size_t{1} << 20U;

}  // namespace

void write_trace(const std::filesystem::path& path, std::span<const RankTrace> ranks) {
  AtomicFile file(path);
  const std::int64_t first = first_begin(ranks);
  Json about{{"clock", "CLOCK_MONOTONIC of the host of rank 0"}, {"events_dropped", 0}, {"ranks", Json::array()}};
  std::int64_t dropped = 0;
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  std::string_view separator;
  const auto add = [&](std::string_view element) {
    text.append(std::exchange(separator, ",\n")).append(element);
    if (text.size() < kChunk) return;
    file.write(text);
    text.clear();
  };
  std::string element;
  for (std::size_t pid = 0; pid < ranks.size(); ++pid) {
    const RankTrace& rank = ranks[pid];
    if (rank.tracks.empty()) continue;
    add(metadata("process_name", pid, 0, {{"name", fmt::format("rank {}: {}", pid, rank.name)}}).dump());
    add(metadata("process_sort_index", pid, 0, {{"sort_index", pid}}).dump());
    Json of_rank{{"rank", pid},
                 {"clock_offset_us", 1e-3 * static_cast<double>(rank.clock_offset)},
                 {"clock_error_us", 1e-3 * static_cast<double>(rank.clock_error)},
                 {"events_dropped", Json::object()}};
    for (std::size_t tid = 0; tid < rank.tracks.size(); ++tid) {
      const RankTrace::Track& track = rank.tracks[tid];
      add(metadata("thread_name", pid, tid, {{"name", track.name}}).dump());
      of_rank["events_dropped"][track.name] = track.dropped;
      dropped += track.dropped;
      std::vector<TraceEvent> events = track.events;
      std::stable_sort(events.begin(), events.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
      for (const TraceEvent& event : events) {
        element.clear();
        append(element, event, first + rank.clock_offset, pid, tid);
        add(element);
      }
    }
    about["ranks"].push_back(std::move(of_rank));
  }
  about["events_dropped"] = dropped;
  file.write(text);
  file.write("\n],\"otherData\":" + about.dump() + "}\n");
  file.commit();
}

}  // namespace apam::training
