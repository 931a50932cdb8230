// --trace on one rank: its tracks, its clock, and the file at the end.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "apam/exchange/drivers/trace.h"
#include "apam/exchange/mpi/environment.h"
#include "apam/training/options.h"
#include "apam/training/trace_file.h"

namespace apam::cli {

class Tracing {
 public:
  /// Throws InputError if rank 0 will not be able to write the file.
  Tracing(const training::TrainOptions& options, int rank, int ranks);

  exchange::TraceTrack& exchange() { return exchange_; }
  /// Of the worker, if the rank is one. Of a rank that is not a master too, the same.
  exchange::TraceTrack& worker() { return worker_ ? *worker_ : exchange_; }
  /// On rank 0.
  exchange::TraceTrack* evaluation() { return evaluation_ ? &*evaluation_ : nullptr; }

  /// Measures the difference of this rank's clock. Collective.
  void align(const exchange::mpi::Environment& environment);

  /// After the run, and after its evaluations. The second: collective, but for the ranks in `gone`; rank 0 writes the file of
  /// all ranks.
  void write();
  void write(const exchange::mpi::Environment& environment, std::span<const int> gone = {});

 private:
  std::string path_;
  training::RankTrace result_;  // without its tracks
  exchange::TraceTrack exchange_;
  std::optional<exchange::TraceTrack> worker_;  // of a master that is a worker too
  std::optional<exchange::TraceTrack> evaluation_;

  training::RankTrace result() const;
};

}  // namespace apam::cli
