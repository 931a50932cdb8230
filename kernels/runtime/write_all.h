// write() until every byte is written.
#pragma once

#include <cstddef>
#include <string_view>

namespace apam {

struct WriteResult {
  std::size_t missing = 0;  ///< bytes that were not written
  int error = 0;            ///< errno if any are missing
};

/// Retries after a signal, and waits when a non-blocking descriptor is not ready.
WriteResult write_all(int descriptor, std::string_view bytes);

}  // namespace apam
