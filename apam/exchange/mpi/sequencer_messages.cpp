#include "apam/exchange/mpi/sequencer_messages.h"

#include <utility>

namespace apam::exchange::mpi {
namespace {

enum SequencerPlace : std::size_t { kEntryReceive, kReportSend, kValues };

}  // namespace

SequencerMessages::SequencerMessages(Requests& requests, std::size_t first, Channel& channel, Memory memory, Take take)
    : requests_(requests),
      first_(first),
      channel_(channel),
      memory_(std::move(memory)),
      take_(std::move(take)),
      kept_(std::make_unique<Kept>()) {}

SequencerMessages::~SequencerMessages() {
  // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
  if (requests_.any_active()) static_cast<void>(kept_.release());
}

void SequencerMessages::send(const ShardReport& report) {
  due_ = report;
  send_report();
}

void SequencerMessages::send(const VersionRef& version) {
  wanted_ = version;
  send_values();
}

void SequencerMessages::send_report() {
  if (!due_ || requests_.active(first_ + kReportSend)) return;
  kept_->report = *std::exchange(due_, {});
  channel_.send(first_ + kReportSend, bytes_of(kept_->report), {kSequencer, kShardReport, "MPI_Isend of a follower's report"});
}

void SequencerMessages::send_values() {
  if (!wanted_ || requests_.active(first_ + kValues)) return;
  sent_ = std::exchange(wanted_, {});
  channel_.send(first_ + kValues, std::as_bytes(memory_(sent_.slot()).host()),
                {kSequencer, kShardValues, "MPI_Isend of a range"});
}

void SequencerMessages::receive_entry() {
  channel_.receive(first_ + kEntryReceive, writable_bytes_of(kept_->entry),
                   {kSequencer, kLogEntry, "MPI_Irecv of an entry of the log"});
}

void SequencerMessages::complete(const Requests::Completed& one) {
  const std::size_t which = one.place - first_;
  if (which == kReportSend) return send_report();
  if (which == kEntryReceive) {
    check_received(one.bytes, sizeof(LogEntry), "an entry of the log", kSequencer);
    const LogEntry& entry = kept_->entry;
    if (entry.kind != LogEntry::Kind::first) return hand_over(entry);
    channel_.receive(first_ + kValues, std::as_writable_bytes(memory_(entry.slot).host()),
                     {kSequencer, kShardValues, "MPI_Irecv of a range"});
    return;
  }
  if (std::exchange(sent_, {})) return send_values();
  check_received(one.bytes, memory_(kept_->entry.slot).host().size_bytes(), "a range", kSequencer);
  hand_over(kept_->entry);
}

void SequencerMessages::hand_over(const LogEntry& entry) {
  if (take_(entry)) receive_entry();
}

bool SequencerMessages::transfers() const { return requests_.active(first_ + kValues); }

}  // namespace apam::exchange::mpi
