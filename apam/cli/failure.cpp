#include "apam/cli/failure.h"

#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "kernels/runtime/error.h"

namespace apam::cli {
namespace {

std::string message_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr || dynamic_cast<const std::length_error*>(&error) != nullptr) {
    return "not enough memory; smaller batches, fewer classes or fewer threads need less";
  }
  if (const auto* files = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
    return fmt::format("{}: {}", files->path1().string(), files->code().message());
  }
  if (const auto* json = dynamic_cast<const nlohmann::json::exception*>(&error)) {
    return fmt::format("invalid JSON (error {} of its library)", json->id);
  }
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    return fmt::format("the operating system reports: {}", system->code().message());
  }
  return error.what();
}

}  // namespace

std::string describe_failure(const std::exception& error, std::string_view operation) {
  if (dynamic_cast<const Error*>(&error) != nullptr) return error.what();
  const std::string text = message_of(error);
  return fmt::format("{}: {}", operation, std::string_view(text).substr(0, text.find('\n')));
}

}  // namespace apam::cli
