#include "apam/cli/tracing.h"

#include <fmt/ranges.h>

#include <array>
#include <vector>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/clock_offset.h"
#include "apam/exchange/mpi/gather_strings.h"
#include "apam/training/thread_budget.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/host_name.h"

namespace apam::cli {
namespace {

std::string name_of(const training::TrainOptions& options, int rank, const exchange::Roles& roles) {
  if (options.exchange != "async") return options.exchange;
  std::vector<std::string> names;
  if (roles.is_master(rank)) names.push_back(roles.masters == 1 ? "master" : fmt::format("master {}", rank));
  if (roles.is_worker(rank)) names.push_back(fmt::format("worker {}", roles.worker_of(rank)));
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

Tracing::Tracing(const training::TrainOptions& options, int rank, int ranks)
    : path_(options.trace), exchange_("exchange", training::trace_capacity(ranks)) {
  const exchange::Roles roles = training::roles_of(options, ranks);
  result_.name = name_of(options, rank, roles);
  if (roles.colocated && roles.is_master(rank)) worker_.emplace("worker", training::trace_capacity(ranks));
  if (rank != 0) return;
  AtomicFile::check(path_);
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
  if (worker_) result.add(*worker_);
  if (evaluation_) result.add(*evaluation_);
  return result;
}

void Tracing::write() { training::write_trace(path_, std::array{result()}); }

void Tracing::write(const exchange::mpi::Environment& environment, std::span<const int> gone) {
  const auto texts = gather_strings(environment, result().to_bytes(), gone);
  if (environment.rank() != 0) return;
  std::vector<training::RankTrace> ranks;
  ranks.reserve(texts.size());
  for (const std::string& text : texts) {
    ranks.push_back(text.empty() ? training::RankTrace{} : training::RankTrace::from_bytes(text));
  }
  training::write_trace(path_, ranks);
}

}  // namespace apam::cli
