#include "apam/exchange/staged_worker.h"

#include <algorithm>

#include "apam/exchange/error.h"

namespace apam::exchange {

StagedWorker::StagedWorker(WorkerTransport& transport, const Stream& steps, Span<float> staged, std::size_t gradients,
                           std::size_t chunk)
    : transport_(transport), steps_(steps), staged_(staged) {
  require<ExchangeError>(gradients <= staged.size() && chunk > 0,
                         "staged worker: {} gradients in chunks of {} in a contribution of {} floats", gradients, chunk,
                         staged.size());
  chunks_.push_back({gradients, staged.size() - gradients, apam::Event(steps.device())});
  for (std::size_t end = gradients; end > 0; end = chunks_.back().offset) {
    const std::size_t count = std::min(end, chunk);
    chunks_.push_back({end - count, count, apam::Event(steps.device())});
  }
}

void StagedWorker::push(const GradientHeader& header, ConstSpan<float> values) {
  if (header.cancelled != 0) return transport_.push(header, {});
  require<ExchangeError>(values.size() == staged_.size(), "staged worker: a contribution of {} floats, expected {}",
                         values.size(), staged_.size());
  for (Chunk& chunk : chunks_) start(chunk, values);
  for (const Chunk& chunk : chunks_) {
    chunk.copied.synchronize();
    transport_.offer(staged_, chunk.offset);
  }
  transport_.push(header, staged_);
}

void StagedWorker::start(Chunk& chunk, ConstSpan<float> values) const {
  copy(steps_, values.subspan(chunk.offset, chunk.count), staged_.subspan(chunk.offset, chunk.count));
  chunk.copied.record(steps_);
}

}  // namespace apam::exchange
