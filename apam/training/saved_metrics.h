// Parts of the metrics of a training as JSON, for checkpoints, and back. The functions that read throw Json::exception.
#pragma once

#include "apam/exchange/staleness.h"
#include "apam/training/evaluator.h"
#include "apam/training/json_text.h"
#include "apam/training/update_sums.h"

namespace apam::training::saved {

/// JSON's numbers are finite; others are text.
Json number(double value);
double number_from(const Json& json);

Json to_json(const UpdateSums& sums);
UpdateSums sums_from(const Json& json);

Json to_json(const exchange::Staleness::Sums& sums);
exchange::Staleness::Sums staleness_from(const Json& json);

/// Without calibrated statistics.
Json to_json(const Evaluation& evaluation);
Evaluation evaluation_from(const Json& json);

}  // namespace apam::training::saved
