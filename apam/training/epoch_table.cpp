#include "apam/training/epoch_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "apam/training/saved_metrics.h"

namespace apam::training {

void EpochTable::add(const exchange::UpdateRecord& record, double seconds) {
  if (!announced_ && !ended_.empty() && ended_.back().update == record.update - 1) ended_.back().awaits = false;
  announced_ = false;
  write_complete();
  open_.update = record.update;
  open_.seconds = seconds;
  open_.rate = record.rate;
  open_.sums.add(record);
  if (epochs_.ends_at(record.update) || record.update == total_updates_) ended_.push_back(std::exchange(open_, {}));
}

void EpochTable::add(const Evaluation& evaluation) {
  const auto row =
      std::find_if(ended_.begin(), ended_.end(), [&](const Row& each) { return each.update == evaluation.update; });
  if (row == ended_.end()) return;  // within an epoch
  row->scores = evaluation.scores;
  row->awaits = false;
  write_complete();
}

void EpochTable::finish() {
  if (open_.sums.updates > 0) ended_.push_back(std::exchange(open_, {}));
  for (Row& row : ended_) row.awaits = false;
  write_complete();
}

Json EpochTable::state() const {
  const auto row = [](const Row& each) {
    return Json{{"update", each.update}, {"seconds", each.seconds}, {"lr", each.rate}, {"sums", saved::to_json(each.sums)}};
  };
  Json ended = Json::array();
  for (const Row& each : ended_) ended.push_back(row(each));
  return {{"has_header", has_header_}, {"open", row(open_)}, {"ended", ended}};
}

void EpochTable::resume(const Json& state, std::int64_t evaluated) {
  const auto row = [](const Json& json) {
    return Row{.update = json.at("update"),
               .seconds = json.at("seconds"),
               .rate = json.at("lr"),
               .sums = saved::sums_from(json.at("sums"))};
  };
  has_header_ = state.at("has_header");
  open_ = row(state.at("open"));
  for (const Json& each : state.at("ended")) {
    ended_.push_back(row(each));
    ended_.back().awaits = ended_.back().update == evaluated;
  }
  announced_ = !ended_.empty() && ended_.back().awaits;
}

void EpochTable::write_complete() {
  for (; !ended_.empty() && !ended_.front().awaits; ended_.pop_front()) write(ended_.front());
}

void EpochTable::write(const Row& row) {
  if (!std::exchange(has_header_, true)) {
    folder_.add_epoch(
        "epoch,update,seconds,lr,train_loss,train_accuracy,train_top5,test_loss,test_accuracy,test_top5,staleness_mean,"
        "staleness_max");
  }
  const UpdateSums& sums = row.sums;
  const std::string scores =
      row.scores ? fmt::format("{},{},{}", row.scores->loss, row.scores->accuracy, row.scores->top5) : ",,";
  folder_.add_epoch(fmt::format("{},{},{},{},{},{},{},{},{},{}", epochs_.at(row.update), row.update, row.seconds, row.rate,
                                sums.loss(), sums.accuracy(), sums.top5_accuracy(), scores, sums.staleness(),
                                sums.staleness_max));
}

}  // namespace apam::training
