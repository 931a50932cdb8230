#include "apam/cli/tracing.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/clock_offset.h"
#include "apam/exchange/mpi/gather_strings.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/host_name.h"

namespace apam::cli {
namespace {

std::string name_of(const training::TrainOptions& options, int rank) {
  if (options.exchange != "async") return options.exchange;
  return rank == 0 ? "master" : fmt::format("worker {}", rank - 1);
}

}  // namespace

Tracing::Tracing(const training::TrainOptions& options, int rank, int ranks)
    : path_(options.trace), result_{.name = name_of(options, rank)}, exchange_("exchange", training::trace_capacity(ranks)) {
  if (rank != 0) return;
  const AtomicFile probe(path_);
  evaluation_.emplace("evaluation", training::trace_capacity(ranks));
}

void Tracing::align(const exchange::mpi::Environment& environment) {
  const auto clock = measure_clock_offset(environment, all_gather_strings(environment, host_name()));
  result_.clock_offset = clock.offset;
  result_.clock_error = clock.error;
}

training::RankTrace Tracing::result() const {
  training::RankTrace result = result_;
  result.add(exchange_);
  if (evaluation_) result.add(*evaluation_);
  return result;
}

void Tracing::write() { training::write_trace(path_, std::array{result()}); }

void Tracing::write(const exchange::mpi::Environment& environment, std::span<const int> gone) {
  const auto texts = gather_strings(environment, result().to_bytes(), gone);
  if (environment.rank() != 0) return;
  std::vector<training::RankTrace> ranks;
  for (const std::string& text : texts) {
    ranks.push_back(text.empty() ? training::RankTrace{} : training::RankTrace::from_bytes(text));
  }
  training::write_trace(path_, ranks);
}

}  // namespace apam::cli
