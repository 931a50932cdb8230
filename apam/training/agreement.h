// What the ranks of a run must agree on. Before any other exchange, all ranks compare the values below. Otherwise a rank could
// wait for a message that another one never sends.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apam/training/options.h"
#include "apam/training/run_plan.h"

namespace apam::training {

/// Values are compared. The detail is only shown.
struct AgreedField {
  std::string name, value;
  std::string detail{};
};

/// In the order in which differences are reported.
using Fields = std::vector<AgreedField>;

/// The program and the options that all ranks must share (option_list.h). Compared before any file is opened.
Fields program_and_options(const TrainOptions& options);

/// Rounding of the updates, identity of the data set (names, counts, hashes of labels and pixels) and layout of the model.
Fields data_and_model(const RunPlan& plan);

/// For transfer between ranks.
std::string to_text(const Fields& fields);

/// The first field in which a rank differs from rank 0: "ranks disagree on --seed: rank 0 has 1, rank 1 has 2".
/// `texts`: to_text() of each rank, by rank. Nothing if all agree.
std::optional<std::string> first_disagreement(std::span<const std::string> texts);

}  // namespace apam::training
