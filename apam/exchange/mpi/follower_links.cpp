#include "apam/exchange/mpi/follower_links.h"

#include <utility>

namespace apam::exchange::mpi {
namespace {

const Peers& checked(const Peers& peers) {
  require<ExchangeError>(peers->rank() > kSequencer && peers->roles.is_master(peers->rank()),
                         "mpi: rank {} cannot follow, with {} masters", peers->rank(), peers->sizes.masters);
  return peers;
}

}  // namespace

FollowerLinks::FollowerLinks(const Peers& peers, const HistoryLayout& layout, Follows follows)
    : peers_(checked(peers)),
      range_(ranges_of(peers->sizes).at(static_cast<std::size_t>(rank()))),
      follows_(std::move(follows)),
      worker_places_(WorkerMessages::places(peers)),
      requests_(worker_places_ + SequencerMessages::kPlaces),
      channel_(peers->communicator, requests_, peers->sends),
      memory_(std::make_unique<Buffer>(Device{}, layout.bytes())),
      history_(memory_->as<float>(), layout),
      sequencer_(
          requests_, worker_places_, channel_, [this](int slot) { return range_.of(history_.memory(slot)); },
          [this](const LogEntry& entry) { return hand_over(entry); }),
      messages_(peers, requests_, channel_, [this](const GradientMessage& gradient) { events_.put({.gradient = gradient}); }),
      thread_(requests_, {.start = [this](const Command& command) { start(command); },
                          .complete = [this](const Requests::Completed& one) { complete(one); },
                          .waiting = [this] { return waiting(); },
                          .fail = [this](std::exception_ptr error) { events_.fail(std::move(error)); }}) {
  thread_.start();
  thread_.put({});
}

FollowerLinks::~FollowerLinks() {
  thread_.abandon();
  // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
  if (requests_.any_active()) static_cast<void>(memory_.release());
}

void FollowerLinks::finish() {
  thread_.finish();
  std::vector<Event> rest;
  events_.take(rest, {});  // throws if the thread has failed
}

void FollowerLinks::start(const Command& command) {
  if (command.answer) {
    messages_.send(command.answer->worker, command.answer->reply, command.version);
  } else if (command.report) {
    sequencer_.send(*command.report);
  } else if (command.version) {
    sequencer_.send(command.version);
  } else {
    sequencer_.start();
  }
}

void FollowerLinks::complete(const Requests::Completed& one) {
  one.place < worker_places_ ? messages_.complete(one) : sequencer_.complete(one);
}

bool FollowerLinks::hand_over(const LogEntry& entry) {
  events_.put({.entry = entry});
  return follows_(entry);
}

Backoff::Waiting FollowerLinks::waiting() const {
  return messages_.transfers() || sequencer_.transfers() ? Backoff::Waiting::transfer : Backoff::Waiting::idle;
}

}  // namespace apam::exchange::mpi
