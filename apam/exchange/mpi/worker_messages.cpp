#include "apam/exchange/mpi/worker_messages.h"

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/wire.h"

namespace apam::exchange::mpi {
namespace {

// Requests of a worker; the receives of the parts follow.
enum WorkerMessage : std::size_t { kHeaderReceive, kReplySend, kWeightsSend, kCancelSend, kFirstPartReceive };

std::size_t places_of_worker(std::span<const Part> parts) { return kFirstPartReceive + parts.size(); }

}  // namespace

WorkerMessages::WorkerMessages(const Peers& peers, Requests& requests, Channel& channel, Arrive arrive, const Stream* updates,
                               DeviceBuffers buffers)
    : sizes_(peers->sizes),
      roles_(peers->roles),
      range_(ranges_of(sizes_).at(static_cast<std::size_t>(peers->rank()))),
      parts_(parts_of(sizes_, peers->rank())),
      places_(places_of_worker(parts_)),
      requests_(requests),
      channel_(channel),
      arrive_(std::move(arrive)),
      updates_(updates),
      slots_(std::make_unique<std::vector<Slot>>(static_cast<std::size_t>(roles_.workers))) {
  const bool rounds = sizes_.wire == Wire::bfloat16, direct = buffers == DeviceBuffers::direct;
  require<ExchangeError>(!direct || !rounds, "mpi: values are rounded in host memory, got messages of {} {} in bfloat16",
                         sizes_.weights, "weights in memory of a GPU");
  if (updates_ != nullptr && !direct) copies_.emplace(updates_->device());
  for (Slot& slot : *slots_) {
    slot.values = Buffer(updates_ != nullptr ? updates_->device() : Device{}, sizes_.contribution * sizeof(float));
    if (rounds) slot.rounded = Buffer({}, range_.weights * sizeof(BFloat16));
    if (copies_) slot.staged = message_memory(sizes_.contribution * sizeof(float));
    if (updates_ != nullptr) slot.updated.emplace(updates_->device());
  }
  if (copies_ && rounds) unrounded_ = message_memory(range_.weights * sizeof(float));
}

WorkerMessages::~WorkerMessages() {
  // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
  if (requests_.any_active()) static_cast<void>(slots_.release());
}

std::size_t WorkerMessages::places(const Peers& peers) {
  return places_of_worker(parts_of(peers->sizes, peers->rank())) * static_cast<std::size_t>(peers->roles.workers);
}

void WorkerMessages::mark_updates(int worker) {
  if (updates_ != nullptr) slot_of(worker).updated.value().record(*updates_);
}

void WorkerMessages::send(int worker, const Reply& reply, const VersionRef& version) {
  Slot& slot = slot_of(worker);
  // Before the next contribution comes to where the update reads this one, and before the version is read.
  if (copies_) {
    slot.updated.value().wait(*copies_);
  } else if (updates_ != nullptr) {
    slot.updated.value().synchronize();
  }
  if (version) expect_gradient(worker);
  slot.reply = {.reply = reply};
  channel_.send(place(worker, kReplySend), bytes_of(slot.reply), {rank_of(worker), kToWorker, "MPI_Isend of a reply"});
  if (!version) return;
  channel_.send(place(worker, kWeightsSend), outgoing(slot, version), {rank_of(worker), kWeights, "MPI_Isend of weights"});
}

void WorkerMessages::cancel(int worker, std::int64_t computed_at) {
  if (requests_.active(place(worker, kCancelSend))) return;  // the worker has not taken the former one yet
  Slot& slot = slot_of(worker);
  slot.cancellation = {.cancelled = computed_at};
  channel_.send(place(worker, kCancelSend), bytes_of(slot.cancellation),
                {rank_of(worker), kToWorker, "MPI_Isend of a cancellation"});
}

std::span<const std::byte> WorkerMessages::outgoing(Slot& slot, const VersionRef& version) {
  const bool in_place = sizes_.wire == Wire::float32 && !copies_;
  if (in_place || sizes_.masters > 1) slot.version = version;
  if (in_place) return bytes_of_any_memory(version.weights().subspan(range_.begin, range_.weights));
  slot.version_copy = copy_of(version);
  return {slot.version_copy->data(), slot.version_copy->size_bytes()};
}

// As it travels, once for all workers of a pass.
std::shared_ptr<Buffer> WorkerMessages::copy_of(const VersionRef& version) {
  if (newest_copy_ && newest_ == version.version()) return newest_copy_;
  newest_copy_ = unused_buffer();
  newest_ = version.version();
  const ConstSpan<float> weights = version.weights().subspan(range_.begin, range_.weights);
  if (sizes_.wire == Wire::bfloat16) {
    round_values(host_values(weights), newest_copy_->as<BFloat16>().host());
  } else {
    copy(*copies_, weights, newest_copy_->as<float>());
    copies_->synchronize();
  }
  return newest_copy_;
}

std::span<const float> WorkerMessages::host_values(ConstSpan<float> weights) {
  if (!copies_) return weights.host();
  copy(*copies_, weights, unrounded_.as<float>());
  copies_->synchronize();
  return unrounded_.as<float>().host();
}

// For a version: one that no worker is being sent.
std::shared_ptr<Buffer> WorkerMessages::unused_buffer() {
  newest_copy_ = {};
  for (const auto& one : version_copies_) {
    if (one.use_count() == 1) return one;
  }
  const std::size_t bytes = range_.weights * bytes_per_value(sizes_.wire);
  return version_copies_.emplace_back(std::make_shared<Buffer>(message_memory(bytes)));
}

// Of a master on a GPU, memory that it copies from and to.
Buffer WorkerMessages::message_memory(std::size_t bytes) const {
  return updates_ == nullptr ? Buffer({}, bytes) : Buffer(updates_->device(), bytes, MemoryKind::pinned);
}

void WorkerMessages::expect_gradient(int worker) {
  Slot& slot = slot_of(worker);
  slot.expected = true;
  slot.missing = 1 + parts_.size();
  slot.empty = 0;
  channel_.receive(place(worker, kHeaderReceive), writable_bytes_of(slot.header),
                   {rank_of(worker), kGradientHeader, "MPI_Irecv of a gradient's header"});
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    channel_.receive(place(worker, kFirstPartReceive + i), incoming(slot, parts_[i]),
                     {rank_of(worker), kContribution, "MPI_Irecv of a part of a gradient"});
  }
}

std::span<BFloat16> WorkerMessages::rounded(const Slot& slot, const Part& part) const {
  return slot.rounded.as<BFloat16>().host().subspan(part.offset - range_.begin, part.count);
}

std::span<std::byte> WorkerMessages::incoming(const Slot& slot, const Part& part) const {
  return rounds(part) ? std::as_writable_bytes(rounded(slot, part)) : bytes_of_any_memory(received(slot, part));
}

/// Where a part comes to in float32.
Span<float> WorkerMessages::received(const Slot& slot, const Part& part) const {
  return (copies_ ? slot.staged : slot.values).as<float>().subspan(part.offset, part.count);
}

void WorkerMessages::complete(const Requests::Completed& one) {
  const int worker = static_cast<int>(one.place / places_);
  Slot& slot = slot_of(worker);
  const std::size_t which = one.place % places_;
  if (which == kHeaderReceive) {
    check_received(one.bytes, sizeof(GradientHeader), "a gradient's header", rank_of(worker));
    --slot.missing;
  } else if (which >= kFirstPartReceive) {
    take_part(worker, parts_[which - kFirstPartReceive], one.bytes);
  } else if (which == kWeightsSend) {
    copied_bytes_ += static_cast<std::int64_t>(range_.weights * bytes_per_value(sizes_.wire));
    if (sizes_.masters == 1) slot.version = {};
    slot.version_copy = {};
  }
  const bool sent = !requests_.active(place(worker, kReplySend)) && !requests_.active(place(worker, kWeightsSend));
  if (slot.expected && slot.missing == 0 && sent) hand_over(worker);
}

void WorkerMessages::take_part(int worker, const Part& part, int bytes) {
  Slot& slot = slot_of(worker);
  --slot.missing;
  copied_bytes_ += bytes;
  if (bytes == 0) {
    ++slot.empty;
    return;
  }
  check_received(bytes, incoming(slot, part).size(), "a part of a gradient", rank_of(worker));
  const Span<float> values = received(slot, part);
  if (rounds(part)) widen_values(rounded(slot, part), values.host());
  if (copies_) copy(*copies_, values, slot.values.as<float>().subspan(part.offset, part.count));
}

void WorkerMessages::hand_over(int worker) {
  Slot& slot = slot_of(worker);
  slot.expected = false;
  // The worker has all ranges of the version: no master sends it any more, and its memory may be used again on all of them.
  slot.version = {};
  if (copies_) copies_->synchronize();
  const bool cancelled = slot.header.cancelled != 0;
  require<ExchangeError>(cancelled || slot.empty == 0, "mpi: {} of {} parts of a gradient from rank {} have no values",
                         slot.empty, parts_.size(), rank_of(worker));
  arrive_({worker, slot.header, slot.values.as<float>().subspan(0, cancelled ? 0 : sizes_.contribution)});
}

bool WorkerMessages::transfers() const {
  for (std::size_t worker = 0; worker < slots_->size(); ++worker) {
    const Slot& slot = (*slots_)[worker];
    const bool arriving = slot.expected && slot.missing <= parts_.size();
    if (arriving || requests_.active(place(static_cast<int>(worker), kWeightsSend))) return true;
  }
  return false;
}

}  // namespace apam::exchange::mpi
