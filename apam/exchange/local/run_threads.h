// Runs functions that wait for each other on threads; if one fails, all end.
#pragma once

#include <functional>
#include <span>
#include <string>

namespace apam::exchange {

/// Runs all bodies concurrently, the first in this thread, and returns when all have returned. If one throws, calls
/// close(its message), which must end the waits of the others, and rethrows the first exception when all have ended.
void run_threads(std::span<const std::function<void()>> bodies, const std::function<void(const std::string&)>& close);

}  // namespace apam::exchange
