// Every gradient is applied as it is: APAM (arXiv 2002.09095, algorithm 1).
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class None final : public StalenessPolicy {};

}  // namespace

Policy none(const PolicyOptions& /*options*/) { return std::make_unique<None>(); }

}  // namespace apam::exchange::policies
