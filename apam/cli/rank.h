// What a rank of a training under a launcher owns.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>

#include "apam/cli/terminal_progress.h"
#include "apam/cli/tracing.h"
#include "apam/cli/transport_choice.h"
#include "apam/training/net_gradient_source.h"
#include "apam/training/run_output.h"
#include "apam/training/run_plan.h"

namespace apam::cli {

/// Members are made in order, each from those above it. With --colocate a master computes gradients too, in another thread, and
/// has another Exec and another arena for that.
struct Rank {
  training::RunPlan plan;
  std::optional<Exec> exec;
  std::optional<Exec> worker_exec;  // of a master that is a worker too
  std::optional<Tracing> tracing;
  SharedByRanks shared;
  Buffer staged_weights, staged_contribution;          // pinned: of a rank on a GPU that exchanges messages
  std::optional<training::Checkpoint> saved;           // rank 0: to be continued
  std::optional<engine::ParameterArena> second;        // workers with --prefetch-weights: other weights and contribution
  std::optional<engine::ParameterArena> arena;         // all ranks but followers
  std::optional<engine::ParameterArena> worker_arena;  // of a master that is a worker too
  std::optional<engine::ParameterArena> shard;         // sharded masters: layout of the range, without memory
  std::optional<engine::Updater> updater;              // ranks that apply updates
  std::optional<training::NetGradientSource> source;   // ranks that compute gradients
  std::optional<exchange::WeightHistory> history;      // master 0 of asynchronous training
  TerminalProgress progress{std::cerr, terminal_columns(STDERR_FILENO)};
  std::unique_ptr<training::RunOutput> output;  // rank 0

  /// For gradients, on ranks that compute some.
  Exec& exec_of_worker() { return worker_exec ? *worker_exec : *exec; }
  engine::ParameterArena& arena_of_worker() { return worker_arena ? *worker_arena : *arena; }
};

}  // namespace apam::cli
