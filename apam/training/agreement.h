// What the ranks of a run must have been asked alike. Each rank says what it was asked, field by field; before anything else
// is exchanged all compare, so that no rank waits for a message that another will never send.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "apam/training/options.h"
#include "apam/training/run_plan.h"

namespace apam::training {

/// Name and value, in the order in which differences are told.
using Fields = std::vector<std::pair<std::string, std::string>>;

/// The program and what the user asked of it: all that can be compared before any file is opened.
Fields program_and_options(const TrainOptions& options);

/// What came of it: identity of the data set (names, counts, hash of the labels) and layout of the model.
Fields data_and_model(const Plan& plan);

/// As text that can travel.
std::string to_text(const Fields& fields);

/// The first field in which a rank differs from rank 0, in words: "ranks disagree on --seed: rank 0 has 1, rank 1 has 2".
/// `texts`: to_text() of each rank, by rank. Nothing if all agree.
std::optional<std::string> first_disagreement(std::span<const std::string> texts);

}  // namespace apam::training
