// What a user is told when something goes wrong: one line, whatever was thrown.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace apam::cli {

/// The text of our own errors as it stands. Those of the libraries below name what they know, and the operation comes from
/// here: "train: ...".
std::string describe_failure(const std::exception& error, std::string_view operation);

}  // namespace apam::cli
