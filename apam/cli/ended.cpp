#include "apam/cli/ended.h"

#include <charconv>
#include <iostream>

#include "apam/cli/failure.h"
#include "kernels/runtime/error.h"

namespace apam::cli {

std::string Ended::to_text() const { return fmt::format("{} {}", code, some_left ? 1 : 0); }

Ended Ended::from_text(const std::string& text) {
  Ended ended;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, ended.code);
  require<InputError>(error == std::errc{} && last - end == 2, "end of the run: '{}', expected an exit code and 0 or 1", text);
  ended.some_left = end[1] == '1';
  return ended;
}

void end_job_after(const std::exception& error, const exchange::mpi::Environment& environment) {
  const std::string where = environment.ranks() > 1 ? fmt::format("rank {}: ", environment.rank()) : "";
  std::cerr << "apam: " << where << describe_failure(error, "train") << std::endl;
  exchange::mpi::end_job(1);
}

}  // namespace apam::cli
