#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "kernels/runtime/error.h"
#include "kernels/runtime/start_thread.h"

namespace apam::data {

Loader::Loader(std::shared_ptr<const Batches> batches, LoaderOptions options)
    : batches_(std::move(batches)), options_(options) {
  require<InputError>(options_.threads >= 0, "loader: {} threads, expected 0 or more", options_.threads);
  require<InputError>(options_.threads == 0 || options_.ahead >= 1,
                      "loader: {} batches ahead with {} threads, expected 1 or more", options_.ahead, options_.threads);
  require<InputError>(options_.rows >= 0, "loader: {} rows per request, expected 0 or more", options_.rows);
  if (options_.rows == 0) options_.rows = std::min(batches_->options().batch, batches_->images());
  const int slots = options_.threads == 0 ? 1 : options_.ahead + 1;
  for (int i = 0; i < slots; ++i) ring_.emplace_back().batch = Batch(batches_->dataset().info().shape, options_.rows);
  for (int i = 0; i < options_.threads; ++i) {
    threads_.push_back(start_thread("loader", i + 1, options_.threads, [this](const std::stop_token& stop) { run(stop); }));
  }
}

void Loader::submit(const Request& request) {
  batches_->check(request);
  require<ShapeError>(request.count() <= options_.rows, "loader: {} rows requested, expected at most {}", request.count(),
                      options_.rows);
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(request);
    ++submitted_;
  }
  work_.notify_one();
}

void Loader::submit_epoch(std::int64_t epoch) {
  const std::int64_t first = epoch * batches_->per_epoch();
  for (std::int64_t batch = first; batch < first + batches_->per_epoch(); ++batch) submit(batches_->whole(batch));
}

std::int64_t Loader::pending() const {
  const std::lock_guard lock(mutex_);
  return submitted_ - taken_;
}

const Batch& Loader::next() {
  const auto begin = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  require<ShapeError>(taken_ < submitted_, "loader: request {} taken, but only {} submitted", taken_ + 1, submitted_);
  released_ = taken_;  // frees the slot of the previous batch
  Slot& oldest = slot(taken_++);
  if (threads_.empty()) {
    start_next(lock);
  } else {
    work_.notify_one();
    ready_.wait(lock, [&] { return oldest.ready; });
  }
  oldest.ready = false;
  seconds_waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (oldest.error) std::rethrow_exception(std::exchange(oldest.error, nullptr));
  return oldest.batch;
}

void Loader::start_next(std::unique_lock<std::mutex>& lock) {
  const Request request = waiting_.front();
  waiting_.pop_front();
  Slot& target = slot(started_++);
  lock.unlock();
  try {
    batches_->prepare(request, target.batch);
  } catch (...) {
    target.error = std::current_exception();
  }
  lock.lock();
  target.ready = true;
}

void Loader::run(const std::stop_token& stop) {
  const auto can_start = [this] { return !waiting_.empty() && started_ < released_ + static_cast<std::int64_t>(ring_.size()); };
  std::unique_lock lock(mutex_);
  while (work_.wait(lock, stop, can_start) && !stop.stop_requested()) {
    start_next(lock);
    ready_.notify_one();
  }
}

}  // namespace apam::data
