// Synchronous training with backup ranks over any transport: which ranks are late is data.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <map>
#include <memory>
#include <thread>

#include "apam/exchange/backup_ranks.h"
#include "kernels/runtime/philox.h"
#include "tests/exchange/synchronous_cases.h"

namespace apam::exchange::test {

/// For update and rank: the update that must be complete before the rank offers its gradient. Missing: it waits for none.
using Offers = std::map<std::pair<std::int64_t, int>, std::int64_t>;

/// Makes ranks late as the script says, at any speed of the threads.
class Scripted final : public FirstArrivals {
 public:
  Scripted(std::unique_ptr<FirstArrivals> inner, const Offers& script) : inner_(std::move(inner)), script_(script) {}

  int rank() const override { return inner_->rank(); }
  int ranks() const override { return inner_->ranks(); }
  int first() const override { return inner_->first(); }
  std::string_view name() const override { return "scripted"; }
  void broadcast(Span<float> values) override { inner_->broadcast(values); }
  bool complete(std::int64_t update) const override { return !script_.contains({update, rank()}) && inner_->complete(update); }
  bool offer(std::int64_t update, const GradientHeader& header) override {
    const auto late = script_.find({update, rank()});
    while (late != script_.end() && !inner_->complete(late->second)) std::this_thread::yield();
    const bool taken = inner_->offer(update, header);
    if (late != script_.end() || decides(update)) {
      EXPECT_EQ(taken, late == script_.end()) << "rank " << rank() << ", update " << update;
    }
    return taken;
  }
  FirstSum take(std::int64_t update) override { return inner_->take(update); }
  void compare(std::int64_t update, std::uint64_t checksum) override { inner_->compare(update, checksum); }
  void release(std::int64_t update) override { inner_->release(update); }
  void finish(std::int64_t update) override { inner_->finish(update); }
  std::int64_t late() const override { return inner_->late(); }

 private:
  /// Whether the script names all ranks that are late. Otherwise the speed of the others decides.
  bool decides(std::int64_t update) const {
    const auto named = std::distance(script_.lower_bound({update, 0}), script_.lower_bound({update + 1, 0}));
    return named == ranks() - first();
  }

  std::unique_ptr<FirstArrivals> inner_;
  const Offers& script_;
};

struct BackupResult {
  std::vector<float> state;
  Recorder recorder;
  Ending ending;
  LeaseCounts leases;
  std::vector<std::int64_t> computed;
};

/// What happens to a rank in a run.
struct Happens {
  int bent_rank = -1;       ///< its replica is broken after update 2
  int signalled_rank = -1;  ///< gets SIGTERM before the first update
};

/// A rank's part of a run; its contribution is in the outgoing memory of `source`.
inline BackupResult train_rank_with_backup(std::unique_ptr<FirstArrivals> transport, QuadraticSource& source,
                                           const Schedule& schedule, const Offers& script, const Happens& happens) {
  BackupResult result;
  const int rank = transport->rank();
  if (rank != 0) source.arena().weights().host()[0] = -99.0F;  // must be replaced by rank 0's
  result.recorder.then = [&](const UpdateRecord& record) {
    if (rank == happens.bent_rank && record.update == 2) source.arena().weights().host()[0] += 0.5F;
  };
  Exec exec = plain_exec();
  engine::Updater updater(exec, source.arena(), amsgrad(0.01));
  ScriptedControl control;
  if (rank == happens.signalled_rank) control.signal = SIGTERM;
  Scripted arrivals(std::move(transport), script);
  BackupTrainer trainer(arrivals, updater, source, schedule, result.recorder);
  result.ending = trainer.run(control);
  result.leases = trainer.leases();
  result.state = values(source.arena().state());
  result.computed = source.computed();
  result.recorder.then = nullptr;
  return result;
}

/// The ranks that are late for each update: drawn from those with a share.
inline Offers drawn_script(int ranks, int first, std::int64_t updates, std::uint64_t seed) {
  const Random random(seed, Purpose::sample, 1);
  ShareLeases leases(ranks, first, updates);
  Offers script;
  for (std::int64_t update = 1; update <= updates; ++update) {
    std::vector<int> able;
    for (int rank = 0; rank < ranks; ++rank) {
      if (leases.of(rank)) able.push_back(rank);
    }
    std::ranges::sort(able, {}, [&](int rank) { return random.word(static_cast<std::uint64_t>(update * 16 + rank)); });
    for (auto i = static_cast<std::size_t>(first); i < able.size(); ++i) script[{update, able[i]}] = update;
    able.resize(static_cast<std::size_t>(first));
    std::ranges::sort(able);
    leases.apply(able);
  }
  return script;
}

/// One process that computes the gradients of the ranks that the records name, one after the other, and their mean.
inline std::vector<float> reproduce(int ranks, const Recorder& recorder, int first, std::int64_t updates,
                                    const QuadraticOptions& model = kSummedModel) {
  QuadraticSource source(model);
  Exec exec = plain_exec();
  engine::Updater updater(exec, source.arena(), amsgrad(0.01));
  ShareLeases leases(ranks, first, updates);
  const std::size_t weights = source.arena().weights().size();
  for (const UpdateRecord& record : recorder.records) {
    std::vector<std::vector<float>> gradients;
    std::vector<std::int32_t> rows;
    for (const int rank : record.ranks) {
      rows.push_back(source.compute(*leases.of(rank)).rows);
      gradients.push_back(values(source.arena().outgoing()));
    }
    std::int32_t all = 0;
    for (const std::int32_t count : rows) all += count;
    EXPECT_EQ(record.header.rows, all);
    std::vector<float> sum(gradients[0].size(), 0.0F);
    for (std::size_t q = 0; q < gradients.size(); ++q) {
      const auto weight = static_cast<float>(static_cast<double>(rows[q]) / all);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += i < weights ? gradients[q][i] : gradients[q][i] * weight;
    }
    updater.apply(ConstSpan<float>(std::span<const float>(sum)));
    leases.apply(record.ranks);
  }
  return values(source.arena().state());
}

}  // namespace apam::exchange::test
