#include "apam/training/saved_metrics.h"

#include <cmath>
#include <string>

namespace apam::training::saved {

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(fmt::format("{}", value)); }

double number_from(const Json& json) { return json.is_string() ? std::stod(json.get<std::string>()) : json.get<double>(); }

Json to_json(const UpdateSums& sums) {
  return {{"loss_sum", number(sums.loss_sum)},
          {"rows", sums.rows},
          {"top1", sums.top1},
          {"top5", sums.top5},
          {"updates", sums.updates},
          {"staleness_sum", sums.staleness_sum},
          {"staleness_max", sums.staleness_max},
          {"lag_sum", sums.lag_sum},
          {"lag_max", sums.lag_max},
          {"begin", sums.begin}};
}

UpdateSums sums_from(const Json& json) {
  UpdateSums sums;
  sums.loss_sum = number_from(json.at("loss_sum"));
  sums.rows = json.at("rows");
  sums.top1 = json.at("top1");
  sums.top5 = json.at("top5");
  sums.updates = json.at("updates");
  sums.staleness_sum = json.at("staleness_sum");
  sums.staleness_max = json.at("staleness_max");
  sums.lag_sum = json.at("lag_sum");
  sums.lag_max = json.at("lag_max");
  sums.begin = json.at("begin");
  return sums;
}

Json to_json(const exchange::Staleness::Sums& sums) {
  return {{"histogram", sums.histogram}, {"by_worker", sums.by_worker}, {"lag_sum", sums.lag_sum}, {"most_lag", sums.most_lag}};
}

exchange::Staleness::Sums staleness_from(const Json& json) {
  return {json.at("histogram"), json.at("by_worker"), json.at("lag_sum"), json.at("most_lag")};
}

Json to_json(const Evaluation& evaluation) {
  const Scores& scores = evaluation.scores;
  return {
      {"update", evaluation.update}, {"at", evaluation.at},     {"loss", scores.loss},       {"accuracy", scores.accuracy},
      {"top5", scores.top5},         {"images", scores.images}, {"seconds", scores.seconds}, {"versions", evaluation.versions}};
}

Evaluation evaluation_from(const Json& json) {
  Evaluation evaluation;
  evaluation.update = json.at("update");
  evaluation.at = json.at("at");
  evaluation.scores.loss = json.at("loss");
  evaluation.scores.accuracy = json.at("accuracy");
  evaluation.scores.top5 = json.at("top5");
  evaluation.scores.images = json.at("images");
  evaluation.scores.seconds = json.at("seconds");
  evaluation.versions = json.at("versions").get<std::vector<std::int64_t>>();
  return evaluation;
}

}  // namespace apam::training::saved
