// Empty tables, for builds without this provider.
#include "kernels/providers.h"

namespace apam::kernels {

Tables cudnn::tables() { return {}; }
std::string cudnn::status() { return "not built"; }

}  // namespace apam::kernels
