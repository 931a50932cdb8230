// A kernel decision as JSON, for the tuning cache and for messages between processes:
//   {"provider": "native", "milliseconds": {"native": 1.5, "onednn": 2.5}, "spread": {"native": 0.02, "onednn": 0.01},
//    "load": 0.3, "date": "2026-01-31T12:00:00Z", "doubtful": false, "plan": "only if the provider has several"}
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/runtime/kernel_decisions.h"

namespace apam {

nlohmann::json to_json(const KernelDecision& decision);

/// Empty for malformed JSON: a member that is missing or of the wrong type, a time that is not positive and finite, a spread or
/// load that is negative or not finite, a provider that is not among those timed.
std::optional<KernelDecision> decision_from_json(const nlohmann::json& json);

}  // namespace apam
