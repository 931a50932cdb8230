#include "apam/exchange/mpi/follower_messages.h"

#include <algorithm>
#include <chrono>

#include "apam/exchange/error.h"

namespace apam::exchange::mpi {
namespace {

// Requests of a follower.
enum FollowerPlace : std::size_t { kEntrySend, kReportReceive, kFirstSend, kValuesReceive, kFollowerPlaces };

}  // namespace

FollowerMessages::FollowerMessages(const MessageSizes& sizes, const WeightHistory& history,
                                   const engine::ParameterLayout& model, Requests& requests, std::size_t first,
                                   Channel& channel, std::function<void(const LogEntry&)> put)
    : ranges_(ranges_of(sizes)),
      order_(sizes.order),
      history_(history),
      model_(model),
      requests_(requests),
      first_(first),
      channel_(channel),
      put_(std::move(put)),
      links_(std::make_unique<std::vector<Link>>(followers())),
      reports_(followers()) {
  put_({.kind = LogEntry::Kind::first, .slot = history.current().slot()});
}

FollowerMessages::~FollowerMessages() {
  // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
  if (requests_.any_active()) static_cast<void>(links_.release());
}

std::size_t FollowerMessages::places(const MessageSizes& sizes) {
  return kFollowerPlaces * static_cast<std::size_t>(sizes.masters - 1);
}

std::size_t FollowerMessages::place(std::size_t follower, std::size_t which) const {
  return first_ + kFollowerPlaces * follower + which;
}

Span<float> FollowerMessages::range_of(std::size_t follower, int slot) const {
  return ranges_[follower + 1].of(history_.memory(slot));
}

void FollowerMessages::post(const ShardPass& pass) {
  const bool stop = pass.kind == ShardPass::Kind::stop;
  if (order_ == Order::free && !stop) return;
  if (!stop) ++posted_;
  put_({.kind = LogEntry::Kind::pass, .pass = pass});
}

std::optional<ShardFinding> FollowerMessages::finish() {
  if (order_ == Order::free) take_news({});
  wait_until([&] { return std::ranges::all_of(reports_, [&](const ShardReport& one) { return one.executed == posted_; }); });
  std::optional<ShardFinding> first;
  for (const ShardReport& one : reports_) {
    if (one.non_finite_update == 0 || (first && first->update <= one.non_finite_update)) continue;
    const auto element = static_cast<std::size_t>(one.non_finite_element);
    first = ShardFinding{{one.non_finite_update, tensor_at(model_, element), element}, one.non_finite_worker};
  }
  return first;
}

void FollowerMessages::collect(int slot, std::int64_t version) {
  collected_ = 0;
  put_({.kind = LogEntry::Kind::collect, .slot = slot, .version = version});
  wait_until([&] {
    const auto is_late = [&](const ShardReport& one) { return one.collected < version; };
    return collected_ == followers() && (order_ == Order::sequenced || std::ranges::none_of(reports_, is_late));
  });
}

std::vector<std::int64_t> FollowerMessages::versions() const {
  std::vector<std::int64_t> all;
  for (const ShardReport& one : reports_) all.push_back(one.collected);
  return all;
}

std::vector<double> FollowerMessages::staleness() const {
  std::vector<double> all;
  for (const ShardReport& one : reports_) all.push_back(one.staleness);
  return all;
}

template <class Done>
void FollowerMessages::wait_until(const Done& done) {
  while (!done()) take_news(std::chrono::seconds(1));
}

void FollowerMessages::take_news(Duration timeout) {
  news_.take(taken_, timeout);
  for (const News& one : taken_) {
    if (!one.report) {
      ++collected_;
      continue;
    }
    require<ExchangeError>(one.report->executed <= posted_, "mpi: rank {} has executed {} entries of the log, which has {}",
                           rank_of(one.follower), one.report->executed, posted_);
    reports_[one.follower] = *one.report;
  }
}

// What follows runs in the progress thread.

void FollowerMessages::start(const LogEntry& entry) {
  for (std::size_t follower = 0; follower < followers(); ++follower) {
    if (entry.kind == LogEntry::Kind::first) receive_report(follower);
    if (entry.kind == LogEntry::Kind::collect) {
      channel_.receive(place(follower, kValuesReceive), std::as_writable_bytes(range_of(follower, entry.slot).host()),
                       {rank_of(follower), kShardValues, "MPI_Irecv of a range"});
    }
    (*links_)[follower].entries.push_back(entry);
    send_next(follower);
  }
}

void FollowerMessages::send_next(std::size_t follower) {
  Link& link = (*links_)[follower];
  if (link.sends || link.entries.empty()) return;
  link.sends = true;
  const LogEntry& entry = link.entries.front();
  channel_.send(place(follower, kEntrySend), bytes_of(entry),
                {rank_of(follower), kLogEntry, "MPI_Isend of an entry of the log"});
  if (entry.kind != LogEntry::Kind::first) return;
  channel_.send(place(follower, kFirstSend), std::as_bytes(range_of(follower, entry.slot).host()),
                {rank_of(follower), kShardValues, "MPI_Isend of a range"});
}

void FollowerMessages::receive_report(std::size_t follower) {
  channel_.receive(place(follower, kReportReceive), writable_bytes_of((*links_)[follower].report),
                   {rank_of(follower), kShardReport, "MPI_Irecv of a follower's report"});
}

void FollowerMessages::complete(const Requests::Completed& one) {
  const std::size_t follower = (one.place - first_) / kFollowerPlaces, which = (one.place - first_) % kFollowerPlaces;
  Link& link = (*links_)[follower];
  if (which == kEntrySend) {
    link.entries.pop_front();
    link.sends = false;
    send_next(follower);
  } else if (which == kReportReceive) {
    check_received(one.bytes, sizeof(ShardReport), "a follower's report", rank_of(follower));
    const ShardReport report = link.report;
    if (report.last == 0) receive_report(follower);
    take(follower, report);
  } else if (which == kValuesReceive) {
    check_received(one.bytes, ranges_[follower + 1].size() * sizeof(float), "a range", rank_of(follower));
    news_.put({follower, {}});
  }
}

void FollowerMessages::take(std::size_t follower, const ShardReport& report) {
  if (report.signal != 0) signal_ = report.signal;
  Link& link = (*links_)[follower];
  copied_bytes_ += report.copied_bytes - std::exchange(link.copied_bytes, report.copied_bytes);
  news_.put({follower, report});
}

bool FollowerMessages::transfers() const {
  for (std::size_t follower = 0; follower < followers(); ++follower) {
    if (requests_.active(place(follower, kFirstSend)) || requests_.active(place(follower, kValuesReceive))) return true;
  }
  return false;
}

}  // namespace apam::exchange::mpi
