// What belongs to which thread: the requests, the parts and the deciding of rank 0 to the progress thread; the sum of an update
// to the other one from its event `summed` to its note of the release; the contribution to the progress thread from an offer
// that is one of the first K to `summed`.
//
// Memory of update u is used again for update u + 4, which rank 0 decides when all ranks have released u. Its sends may still
// wait for the library to find that they are complete: the decision is held back until then.
#include "apam/exchange/mpi/first_arrivals.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <optional>

#include "apam/exchange/arrival_sum.h"
#include "apam/exchange/first_offers.h"
#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/arrival_messages.h"
#include "apam/exchange/mpi/progress.h"
#include "apam/exchange/mpi/protocol.h"

namespace apam::exchange::mpi {
namespace {

constexpr std::int64_t kRounds = BackupSizes::kRounds;

class MpiFirstArrivals final : public FirstArrivals {
 public:
  MpiFirstArrivals(const BackupSizes& sizes, Span<float> contribution, Sends sends)
      : sizes_(sizes),
        contribution_(contribution.host()),
        places_{static_cast<std::size_t>(communicator_.ranks())},
        requests_(places_.count()),
        channel_(communicator_, requests_, sends),
        memory_(std::make_unique<ArrivalMemory>(sizes, communicator_.ranks())),
        offers_(communicator_.ranks(), sizes.first, kRounds),
        thread_(requests_, {.start = [this](const Note& note) { send(note); },
                            .complete = [this](const Requests::Completed& one) { complete(one); },
                            .waiting = [this] { return waiting(); },
                            .fail = [this](std::exception_ptr error) { events_.fail(std::move(error)); }}) {
    require<ExchangeError>(contribution_.size() == sizes.floats, "mpi: a contribution of {} floats, expected {}",
                           contribution_.size(), sizes.floats);
  }

  ~MpiFirstArrivals() override {
    thread_.abandon();
    // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
    if (requests_.any_active()) static_cast<void>(memory_.release());
  }
  MpiFirstArrivals(const MpiFirstArrivals&) = delete;
  MpiFirstArrivals& operator=(const MpiFirstArrivals&) = delete;

  int rank() const override { return communicator_.rank(); }
  int ranks() const override { return communicator_.ranks(); }
  int first() const override { return sizes_.first; }
  std::string_view name() const override { return kHostMessages; }

  void broadcast(Span<float> values) override {
    const auto host = values.host();
    require<ExchangeError>(host.size() == sizes_.floats, "mpi: rank {} copies {} floats, a contribution has {}", rank(),
                           host.size(), sizes_.floats);
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibcast(host.data(), count(host.size(), "a broadcast"), MPI_FLOAT, kDecider, communicator_.get(), &request),
          "MPI_Ibcast");
    wait(request, "MPI_Ibcast");
    if (rank() == kDecider) {
      for (int from = 1; from < ranks(); ++from) receive_note(from);
    } else {
      receive_decision();
    }
    thread_.start();
  }

  bool complete(std::int64_t update) const override { return decided_ >= update; }

  bool offer(std::int64_t update, const GradientHeader& header) override {
    require_next(update, "offers");
    thread_.put({.kind = Note::Kind::offer, .update = update, .header = header});
    wait_until([&] { return round(update).decided == update; });
    const auto& arrivals = round(update).arrivals;
    return std::ranges::find(arrivals, rank(), &EarlyGradient::rank) != arrivals.end();
  }

  FirstSum take(std::int64_t update) override {
    require_next(update, "takes");
    wait_until([&] { return round(update).summed == update; });
    taken_ = update;
    return {round(update).arrivals, Span<float>(sum(update))};
  }

  void compare(std::int64_t update, std::uint64_t checksum) override {
    thread_.put({.kind = Note::Kind::compare, .update = update, .checksum = checksum});
  }

  void release(std::int64_t update) override {
    require<ExchangeError>(update == taken_, "mpi: rank {} releases update {}, has taken {}", rank(), update, taken_);
    thread_.put({.kind = Note::Kind::release, .update = update});
  }

  void finish(std::int64_t update) override {
    thread_.put({.kind = Note::Kind::finish, .update = update});
    wait_until([&] { return ended_; });
    thread_.finish();
  }

  std::int64_t late() const override { return late_; }

 private:
  Round& round(std::int64_t update) { return rounds_[slot_of(update)]; }

  void require_next(std::int64_t update, std::string_view does) const {
    require<ExchangeError>(update == taken_ + 1, "mpi: rank {} {} update {} after update {}", rank(), does, update, taken_);
  }

  template <class Condition>
  void wait_until(Condition condition) {
    std::vector<Event> events;
    while (!condition()) {
      events_.take(events, std::chrono::seconds(1));
      for (Event& event : events) {
        late_ = std::max(late_, event.late);
        if (event.kind == Event::Kind::ended) ended_ = true;
        if (event.kind == Event::Kind::summed) round(event.update).summed = event.update;
        if (event.kind == Event::Kind::decided) {
          round(event.update).decided = event.update;
          round(event.update).arrivals = std::move(event.arrivals);
        }
      }
    }
  }

  std::span<float> sum(std::int64_t update) const {
    return memory_->sums.as<float>().host().subspan(slot_of(update) * sizes_.floats, sizes_.floats);
  }

  // What follows runs in the progress thread.

  /// A sum that is computed, or on its way.
  struct Sum {
    std::int64_t update = 0;
    std::vector<EarlyGradient> arrivals;
    std::optional<std::size_t> mine{};  // the part that this rank sums
    int missing = 0;                    // parts of the sum that are not here
    int contributions = 0;              // parts of contributions that are not here
    int sending = 0;                    // parts of this rank's contribution
  };

  std::span<float> part(std::span<float> values, std::size_t i) const {
    const Range range = part_of_sum(sizes_.floats, i, sizes_.first);
    return values.subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.end - range.begin));
  }
  /// Where the part of the q-th contribution arrives that this rank sums.
  std::span<float> incoming(std::size_t q, std::size_t mine) const {
    const std::size_t room = sizes_.longest_part();
    return memory_->parts.as<float>().host().subspan(q * room, part(contribution_, mine).size());
  }

  void send(const Note& note) {
    if (rank() == kDecider) return decide(kDecider, note);
    notes_.push_back(note);
    send_notes();
  }

  void send_notes() {
    const std::size_t place = places_.of(Places::kNoteSend, kDecider);
    if (notes_.empty() || requests_.active(place)) return;
    memory_->sent = notes_.front();
    notes_.pop_front();
    channel_.send(place, bytes_of(memory_->sent), {kDecider, kNote, "MPI_Isend of a note"});
  }

  void receive_note(int from) {
    channel_.receive(places_.of(Places::kNoteReceive, from),
                     writable_bytes_of(memory_->received[static_cast<std::size_t>(from)]),
                     {from, kNote, "MPI_Irecv of a note"});
  }

  void receive_decision() {
    channel_.receive(places_.of(Places::kDecisionReceive, kDecider), memory_->decision,
                     {kDecider, kDecision, "MPI_Irecv of a decision"});
  }

  void decide(int from, const Note& note) {
    switch (note.kind) {
      case Note::Kind::offer:
        offers_.offer(from, note.update, note.header);
        break;
      case Note::Kind::compare:
        offers_.compare(from, note.update, note.checksum);
        break;
      case Note::Kind::release:
        offers_.release(from, note.update);
        break;
      case Note::Kind::finish:
        offers_.finish(from);
        break;
    }
    while (auto decided = offers_.decide()) announce({{decided->update, offers_.late()}, std::move(decided->arrivals)});
    if (offers_.finished()) announce({{DecisionHead::kEnd, offers_.late()}, {}});
  }

  void announce(const Decision& decision) {
    for (int to = 1; to < ranks(); ++to) {
      auto& waiting = memory_->decisions[static_cast<std::size_t>(to)];
      waiting.push_back(decision.to_bytes(static_cast<std::size_t>(sizes_.first)));
      if (waiting.size() == 1) send_decision(to);
    }
    take(decision);
  }

  void send_decision(int to) {
    channel_.send(places_.of(Places::kDecisionSend, to), memory_->decisions[static_cast<std::size_t>(to)].front(),
                  {to, kDecision, "MPI_Isend of a decision"});
  }

  void take(const Decision& decision) {
    const auto [update, late] = decision.head;
    if (update == DecisionHead::kEnd) return events_.put({.kind = Event::Kind::ended, .late = late});
    require<ExchangeError>(update == decided_ + 1, "mpi: rank {} decides update {} after update {}", kDecider, update,
                           decided_.load());
    events_.put({.update = update, .late = late, .arrivals = decision.arrivals});
    decided_ = update;
    held_.push_back({.update = update, .arrivals = decision.arrivals});
    begin_sums();
  }

  /// Those whose memory is free.
  void begin_sums() {
    while (!held_.empty()) {
      const std::size_t slot = slot_of(held_.front().update);
      for (int to = 0; to < ranks(); ++to) {
        if (requests_.active(places_.sum_send(slot, to))) return;
      }
      sums_[slot] = std::move(held_.front());
      held_.pop_front();
      begin(sums_[slot]);
    }
  }

  void begin(Sum& sum_of) {
    const std::size_t slot = slot_of(sum_of.update);
    for (std::size_t i = 0; i < sum_of.arrivals.size(); ++i) {
      const int owner = sum_of.arrivals[i].rank;
      ++sum_of.missing;
      if (owner == rank()) {
        sum_of.mine = i;
      } else {
        ++moving_;
        channel_.receive(places_.sum_receive(slot, owner), std::as_writable_bytes(part(sum(sum_of.update), i)),
                         {owner, kSum, "MPI_Irecv of a sum"});
      }
    }
    if (!sum_of.mine) return;
    for (std::size_t i = 0; i < sum_of.arrivals.size(); ++i) {
      const int other = sum_of.arrivals[i].rank;
      if (other == rank()) continue;
      moving_ += 2;
      ++sum_of.contributions;
      ++sum_of.sending;
      channel_.receive(places_.of(Places::kPartReceive, other), std::as_writable_bytes(incoming(i, *sum_of.mine)),
                       {other, kPart, "MPI_Irecv of a part of a contribution"});
      channel_.send(places_.of(Places::kPartSend, other), std::as_bytes(part(contribution_, i)),
                    {other, kPart, "MPI_Isend of a part of a contribution"});
    }
    contributing_ = slot;
    if (sum_of.contributions == 0) add(sum_of);
  }

  /// All parts of contributions are here.
  void add(Sum& sum_of) {
    const std::size_t mine = *sum_of.mine;
    std::vector<const float*> values;
    for (std::size_t q = 0; q < sum_of.arrivals.size(); ++q) {
      values.push_back(q == mine ? part(contribution_, mine).data() : incoming(q, mine).data());
    }
    const std::span<float> result = part(sum(sum_of.update), mine);
    sum_arrivals(sum_of.arrivals, values, part_of_sum(sizes_.floats, mine, sizes_.first), sizes_.gradients, result.data());
    for (int to = 0; to < ranks(); ++to) {
      if (to == rank()) continue;
      ++moving_;
      channel_.send(places_.sum_send(slot_of(sum_of.update), to), std::as_bytes(result), {to, kSum, "MPI_Isend of a sum"});
    }
    --sum_of.missing;
    report(sum_of);
  }

  void report(const Sum& sum_of) {
    if (sum_of.missing == 0 && sum_of.sending == 0) events_.put({.kind = Event::Kind::summed, .update = sum_of.update});
  }

  void complete(const Requests::Completed& one) {
    const int peer = places_.rank(one.place);
    switch (const std::size_t kind = places_.kind(one.place); kind) {
      case Places::kNoteSend:
        return send_notes();
      case Places::kNoteReceive: {
        check_received(one.bytes, sizeof(Note), "a note", peer);
        const Note note = memory_->received[static_cast<std::size_t>(peer)];
        mpi::check(note, peer);
        if (note.kind != Note::Kind::finish) receive_note(peer);
        return decide(peer, note);
      }
      case Places::kDecisionReceive: {
        check_received(one.bytes, memory_->decision.size(), "a decision", peer);
        const Decision decision = Decision::of(memory_->decision, static_cast<std::size_t>(sizes_.first), ranks());
        if (decision.head.update != DecisionHead::kEnd) receive_decision();
        return take(decision);
      }
      case Places::kDecisionSend: {
        auto& waiting = memory_->decisions[static_cast<std::size_t>(peer)];
        waiting.pop_front();
        if (!waiting.empty()) send_decision(peer);
        return;
      }
      default:
        --moving_;
        complete_values(kind, one);
    }
  }

  void complete_values(std::size_t kind, const Requests::Completed& one) {
    const int peer = places_.rank(one.place);
    if (kind == Places::kPartSend) {
      --sums_[contributing_].sending;
      report(sums_[contributing_]);
    } else if (kind == Places::kPartReceive) {
      Sum& sum_of = sums_[contributing_];
      check_received(one.bytes, part(contribution_, *sum_of.mine).size_bytes(), "a part of a contribution", peer);
      if (--sum_of.contributions == 0) add(sum_of);
    } else if (kind < Places::kSums + Places::kSlots) {
      begin_sums();  // the send of a sum is complete
    } else {
      Sum& sum_of = sums_[kind - Places::kSums - Places::kSlots];
      const auto owner = std::ranges::find(sum_of.arrivals, peer, &EarlyGradient::rank) - sum_of.arrivals.begin();
      check_received(one.bytes, part(contribution_, static_cast<std::size_t>(owner)).size_bytes(), "a sum", peer);
      --sum_of.missing;
      report(sum_of);
    }
  }

  Backoff::Waiting waiting() const { return moving_ > 0 ? Backoff::Waiting::transfer : Backoff::Waiting::idle; }

  Communicator communicator_;
  BackupSizes sizes_;
  std::span<float> contribution_;
  Places places_;
  Requests requests_;
  Channel channel_;
  std::unique_ptr<ArrivalMemory> memory_;

  // Of the thread that computes.
  std::array<Round, Places::kSlots> rounds_;
  std::int64_t taken_ = 0, late_ = 0;
  bool ended_ = false;

  // Of the progress thread.
  std::deque<Note> notes_;
  FirstOffers offers_;    // of rank 0
  std::deque<Sum> held_;  // decided, not begun
  std::array<Sum, Places::kSlots> sums_;
  std::size_t contributing_ = 0;  // the slot of the latest sum that this rank is part of
  int moving_ = 0;                // messages with values

  std::atomic<std::int64_t> decided_ = 0;
  Handoff<Event> events_;
  ProgressThread<Note> thread_;  // last: it uses the others
};

}  // namespace

std::size_t BackupSizes::longest_part() const {
  std::int64_t longest = 0;
  for (int i = 0; i < first; ++i) {
    const Range part = part_of_sum(floats, static_cast<std::size_t>(i), first);
    longest = std::max(longest, part.end - part.begin);
  }
  return static_cast<std::size_t>(longest);
}

std::size_t BackupSizes::bytes() const {
  return (static_cast<std::size_t>(kRounds) * floats + static_cast<std::size_t>(first) * longest_part()) * sizeof(float);
}

std::unique_ptr<FirstArrivals> make_first_arrivals(const Environment& environment, const BackupSizes& sizes,
                                                   Span<float> contribution, Sends sends) {
  const int ranks = environment.ranks();
  require<InputError>(sizes.first >= 1 && sizes.first <= ranks, "mpi: the first {} of {} ranks, expected 1 to all", sizes.first,
                      ranks);
  require<InputError>(sizes.gradients <= sizes.floats, "mpi: {} gradients of {} floats", sizes.gradients, sizes.floats);
  count(sizes.floats * sizeof(float), "a contribution in bytes");
  const auto all =
      all_gather_strings(environment, fmt::format("the first {} of contributions of {} floats, {} of them gradients",
                                                  sizes.first, sizes.floats, sizes.gradients));
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    require<ExchangeError>(all[rank] == all[0], "mpi: rank {} exchanges {}, rank 0 {}", rank, all[rank], all[0]);
  }
  return std::make_unique<MpiFirstArrivals>(sizes, contribution, sends);
}

}  // namespace apam::exchange::mpi
