// The name of this machine.
#pragma once

#include <string>

namespace apam {

/// As gethostname() gives it; "unknown" if that fails.
std::string host_name();

}  // namespace apam
