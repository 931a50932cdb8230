// A decision as JSON, in the file of timings and in what processes tell each other:
//   {"provider": "native", "milliseconds": {"native": 1.5, "onednn": 2.5}, "spread": {"native": 0.02, "onednn": 0.01},
//    "load": 0.3, "date": "2026-01-31T12:00:00Z", "doubtful": false}
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/runtime/kernel_decisions.h"

namespace apam {

nlohmann::json to_json(const KernelDecision& decision);

/// Nothing for JSON of any other form: a member that is missing or of another type, a time that is not positive and finite,
/// a spread or load that is negative or not finite, a provider that was not among those timed.
std::optional<KernelDecision> decision_from_json(const nlohmann::json& json);

}  // namespace apam
