// Runs functions on threads that depend on one another, so that one that fails ends all.
#pragma once

#include <functional>
#include <span>
#include <string>

namespace apam::exchange {

/// Runs all bodies concurrently, the first in this thread, and returns when all have. When one throws, calls
/// close(what it said), which must wake the others; then, when all have ended, throws what the first one threw.
void run_threads(std::span<const std::function<void()>> bodies, const std::function<void(const std::string&)>& close);

}  // namespace apam::exchange
