// Empty tables, for builds without this provider.
#include "kernels/providers.h"

namespace apam::kernels {

Tables cuda::tables() { return {}; }

}  // namespace apam::kernels
