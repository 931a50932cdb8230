// Pages of memory.
#pragma once

#include <cstddef>

namespace apam {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20U;

/// The least multiple of `unit` that holds `bytes`.
constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

constexpr std::size_t whole_pages(std::size_t bytes) { return round_up(bytes, kPage); }

}  // namespace apam
