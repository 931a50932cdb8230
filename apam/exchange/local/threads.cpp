#include "apam/exchange/local/threads.h"

#include <algorithm>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/local/run_threads.h"
#include "apam/exchange/worker.h"

namespace apam::exchange {

class ThreadsExchange::ThreadsMasterTransport final : public MasterTransport {
 public:
  explicit ThreadsMasterTransport(ThreadsExchange& exchange) : exchange_(exchange) {}

  int workers() const override { return static_cast<int>(exchange_.mailboxes_.size()); }
  std::string_view name() const override { return "threads"; }

  std::span<const GradientMessage> poll(Duration timeout) override {
    messages_.clear();
    std::unique_lock lock(exchange_.mutex_);
    exchange_.gradient_came_.wait_for(lock, timeout, [this] { return !exchange_.arrived_.empty() || exchange_.closed_; });
    if (exchange_.closed_) fail<ExchangeError>("threads: the exchange was closed: {}", *exchange_.closed_);
    for (const int worker : exchange_.arrived_) {
      Mailbox& box = exchange_.mailboxes_[static_cast<std::size_t>(worker)];
      box.version = {};
      messages_.push_back({worker, box.header, box.values});
    }
    exchange_.arrived_.clear();
    return messages_;
  }

  void send(int worker, const Reply& reply, const VersionRef& version) override {
    Mailbox& box = exchange_.mailboxes_.at(static_cast<std::size_t>(worker));
    box.reply = reply;
    box.version = version;
    const std::lock_guard lock(exchange_.mutex_);
    box.replied = true;
    box.reply_came.notify_one();
  }

  void cancel(int worker, std::int64_t computed_at) override {
    const std::lock_guard lock(exchange_.mutex_);
    exchange_.mailboxes_.at(static_cast<std::size_t>(worker)).cancelled = computed_at;
  }

  void finish() override {}

 private:
  ThreadsExchange& exchange_;
  std::vector<GradientMessage> messages_;
};

class ThreadsExchange::ThreadsWorkerTransport final : public WorkerTransport {
 public:
  ThreadsWorkerTransport(ThreadsExchange& exchange, int index)
      : exchange_(exchange), index_(index), box_(exchange.mailboxes_[static_cast<std::size_t>(index)]) {}

  void push(const GradientHeader& header, ConstSpan<float> values) override {
    box_.header = header;
    box_.values = values;
    const std::lock_guard lock(exchange_.mutex_);
    exchange_.arrived_.push_back(index_);
    exchange_.gradient_came_.notify_one();
  }

  bool cancelled(std::int64_t computed_at) override {
    const std::lock_guard lock(exchange_.mutex_);
    return box_.cancelled == computed_at;
  }

  Delivery pull() override {
    std::unique_lock lock(exchange_.mutex_);
    box_.reply_came.wait(lock, [this] { return box_.replied || exchange_.closed_; });
    if (exchange_.closed_) fail<ExchangeError>("threads: the exchange was closed: {}", *exchange_.closed_);
    box_.replied = false;
    return {box_.reply, box_.version ? box_.version.weights() : ConstSpan<float>()};
  }

 private:
  ThreadsExchange& exchange_;
  int index_;
  Mailbox& box_;
};

ThreadsExchange::ThreadsExchange(int workers)
    : mailboxes_(static_cast<std::size_t>(std::max(workers, 0))), master_(std::make_unique<ThreadsMasterTransport>(*this)) {
  require<InputError>(workers >= 1, "threads: there must be at least one worker, got {}", workers);
  for (int i = 0; i < workers; ++i) workers_.push_back(std::make_unique<ThreadsWorkerTransport>(*this, i));
}

ThreadsExchange::~ThreadsExchange() = default;

void ThreadsExchange::close(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!closed_) closed_ = reason;
  gradient_came_.notify_all();
  for (Mailbox& box : mailboxes_) box.reply_came.notify_all();
}

void train_on_threads(MasterState& master, std::span<GradientSource* const> sources, Control& control, Observer& observer) {
  require<InputError>(!sources.empty(), "threads: there must be at least one worker, got 0");
  ThreadsExchange exchange(static_cast<int>(sources.size()));
  std::vector<std::function<void()>> bodies{[&] { run_master(master, exchange.master(), control, observer); }};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    bodies.emplace_back([&, i] {
      NullControl none;
      Worker(*sources[i]).run(exchange.worker(static_cast<int>(i)), none);
    });
  }
  run_threads(bodies, [&](const std::string& reason) { exchange.close(reason); });
}

}  // namespace apam::exchange
