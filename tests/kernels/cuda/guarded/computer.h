// Ranks that train the small net, on the guarded GPU or on the CPU.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/observer.h"
#include "apam/training/net_gradient_source.h"
#include "engine/optim/updater.h"
#include "kernels/runtime/host_values.h"
#include "tests/exchange/mpi_world.h"
#include "tests/kernels/cuda/guarded/small_net.h"

namespace apam::support {

inline constexpr int kUpdates = 14, kSnapshotEvery = 5;
inline constexpr engine::OptimizerOptions kOptimizer{.learning_rate = 0.01};

inline std::shared_ptr<const data::Batches> batches() {
  static const auto made = std::make_shared<const data::Batches>(
      small_data(), data::BatchOptions{.batch = kRows, .augmentation = data::kStandardAugmentation, .seed = 3});
  return made;
}

class Recorder final : public exchange::Observer {
 public:
  void on_update(const exchange::UpdateRecord& record) override { records.push_back(record); }
  void on_snapshot(const exchange::StateSnapshot& snapshot) override {
    snapshots[snapshot.update] = host_values(snapshot.state);
  }

  std::vector<exchange::UpdateRecord> records;
  std::map<std::int64_t, std::vector<float>> snapshots;  // by update
};

/// A net on a device with all that computes its gradients, to `outgoing` if that is not empty.
struct Computer {
  explicit Computer(std::string_view device, Span<float> outgoing = {}, DType activations = DType::float32)
      : exec(options_for(device, activations)), arena(exec.device(), net.layout()) {
    arena.initialize(7);
    if (!outgoing.empty()) arena.use_outgoing(outgoing);
    for (const int rows : {kRows, kRows - 2}) source.choose_kernels(rows);
  }

  SmallNet net;
  Exec exec;
  engine::ParameterArena arena;
  training::NetGradientSource source{exec, net, arena, batches(), {.threads = 0}};
};

inline std::vector<std::string> gather(std::string_view text) {
  return exchange::mpi::all_gather_strings(exchange::test::world(), text);
}

}  // namespace apam::support
