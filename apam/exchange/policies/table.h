// One maker per policy. Only for policies/; the parameters have been checked.
#pragma once

#include "apam/exchange/policies/policy.h"

namespace apam::exchange::policies {

using Policy = std::unique_ptr<const StalenessPolicy>;

Policy none(const PolicyOptions& options);
Policy bound(const PolicyOptions& options);
Policy ringmaster(const PolicyOptions& options);
Policy ssp(const PolicyOptions& options);
Policy rennala(const PolicyOptions& options);
Policy scaled(const PolicyOptions& options);
Policy fadas(const PolicyOptions& options);
Policy cgad(const PolicyOptions& options);
Policy compensated(const PolicyOptions& options);
Policy rescaled(const PolicyOptions& options);

/// `policy` after the warm-up.
Policy warmed_up(Policy policy, const PolicyOptions& options);

}  // namespace apam::exchange::policies
