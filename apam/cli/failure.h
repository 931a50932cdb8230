// One line for the user about any exception.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace apam::cli {

/// The message of an apam::Error. Exceptions of libraries become a sentence after the operation: "train: ...".
std::string describe_failure(const std::exception& error, std::string_view operation);

}  // namespace apam::cli
