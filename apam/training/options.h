// The options of every command, as plain data. option_list.h describes them; factories.h and run_plan.h turn them into objects.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace apam::training {

struct DataOptions {
  std::string name = "cifar10";
  std::string root;
  std::string train_split = "train";
  std::optional<std::string> label_order{};
  std::optional<std::int64_t> train_images{}, test_images{};  // the first ones; nothing: all, of synthetic data its default
};

struct MachineOptions {
  std::string device = "cpu";
  int threads = 0;  // 0: chosen by thread_budget.h
  std::string kernels = "*=auto";
  std::string precision = "float32";
  std::optional<std::string> kernel_cache;
};

struct NetOptions {
  std::string name = "allcnn";
  std::optional<int> classes;
};

struct TrainOptions {
  NetOptions net;
  DataOptions data;
  MachineOptions machine;
  std::string init;

  std::string exchange = "local";
  std::int64_t max_delay = 1;
  std::string transport = "auto";
  std::string wire = "float32";
  bool prefetch_weights = false;
  int masters = 1;
  std::string master_order = "sequenced";
  bool colocate = false;
  std::int64_t sync_backup = 0;
  int master_threads = 0;  // 0: chosen by thread_budget.h

  std::string optimizer = "amsgrad";
  double learning_rate = 1e-4, weight_decay = 0.0;
  std::optional<double> beta1, beta2, eps;  // not of sgd; nothing: as in engine::OptimizerOptions
  std::optional<double> momentum;           // only of sgd; nothing: 0
  bool nesterov = false;                    // only with a momentum
  std::string lr_schedule = "constant";
  std::optional<std::int64_t> lr_step_epochs;  // only of the schedule "step"
  std::optional<double> lr_step_factor;        // 0.1 unless given
  std::int64_t warmup_updates = 0;

  std::int64_t batch = 100;
  std::optional<std::int64_t> epochs;  // 1 unless only max_updates is given
  std::int64_t max_updates = 0;
  std::uint64_t seed = 0;
  std::string order = "shuffled", augment = "standard";
  int loader_threads = 1;

  std::string eval_split = "test";
  std::int64_t eval_every = 0, eval_batch = 100;
  int eval_threads = 0;
  std::string bn = "running";
  std::optional<std::int64_t> bn_images;  // only of "recalibrate"

  bool keep_going = false;

  std::string staleness_policy = "none";
  std::optional<std::int64_t> staleness_bound, staleness_gradients;  // of some policies
  std::optional<double> staleness_factor;
  std::int64_t sync_warmup = 0;  // updates of one gradient per worker, before the policy; 0: none

  std::string out;
  bool overwrite = false;
  bool resume = false;
  std::optional<std::int64_t> checkpoint_every;  // nothing: by time; 0: none
  std::int64_t log_every = 10;
  std::string trace;  // empty: none
};

struct EvalOptions {
  NetOptions net;
  DataOptions data;
  MachineOptions machine;
  std::string weights;
  std::string eval_split = "test";
  std::int64_t batch = 100;
  std::string json;
};

struct ReplayOptions {
  std::string run;
  std::optional<std::string> data_root, init;  // nothing: as the run has named them
  std::optional<std::int64_t> update;          // nothing: the last one
  int jobs = 0;                                // 0: chosen by run_replay.h
  std::string weights;
};

struct GradientsOptions {
  NetOptions net;
  MachineOptions machine;
  std::string weights, batch, out;
};

struct InfoOptions {
  NetOptions net{.name = "", .classes = {}};
  MachineOptions machine;
  std::int64_t batch = 100;
  bool retime = false;
  bool json = false;
};

struct DataPackOptions {
  DataOptions data;
  std::string out;
};

struct DataCheckOptions {
  DataOptions data;
  bool any_size = false;
  bool json = false;
};

struct DataExportOptions {
  DataOptions data;
  std::string format = "png-tree";
  std::optional<std::int64_t> train_images, test_images;
  std::string out;
};

}  // namespace apam::training
