// What a user can ask of the commands, as typed; setup.h turns it into objects.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "engine/optim/optimizer.h"
#include "kernels/runtime/error.h"

namespace apam::training {

/// A command line that cannot be meant as it stands. The program ends with status 2; every other Error ends it with 1.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Calls `body`, whose InputErrors are about what the user typed.
template <class Body>
auto checking_usage(Body&& body) {
  try {
    return body();
  } catch (const InputError& error) {
    throw UsageError(error.what());
  }
}

struct DataOptions {
  std::string name = "cifar10";
  std::string root;
  std::int64_t train_images = 5000, test_images = 1000;  // synthetic
};

struct MachineOptions {
  std::string device = "cpu";
  int threads = 0;  // 0: chosen by setup.h
  std::string kernels = "*=auto";
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

  std::string optimizer = "amsgrad";
  double learning_rate = 1e-4, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.0;

  std::int64_t batch = 100;
  std::optional<std::int64_t> epochs;  // 1, unless max_updates alone is given
  std::int64_t max_updates = 0;
  std::uint64_t seed = 0;
  std::string order = "shuffled", augment = "standard";
  int loader_threads = 1;

  std::int64_t eval_every = 0, eval_batch = 100;
  int eval_threads = 0;

  bool keep_going = false;

  std::string out;
  bool overwrite = false;
  std::int64_t log_every = 10;
};

struct EvalOptions {
  NetOptions net;
  DataOptions data;
  MachineOptions machine;
  std::string weights;
  std::int64_t batch = 100;
  std::string json;
};

struct GradientsOptions {
  NetOptions net;
  MachineOptions machine;
  std::string weights, batch, out;
};

struct InfoOptions {
  NetOptions net;
  MachineOptions machine;
  std::int64_t batch = 100;
  bool retime = false;
  bool json = false;
};

/// Add the options of a command to its part of the command line; what is parsed lands in `options`, which must outlive `app`.
void add_options(CLI::App& app, TrainOptions& options);
void add_options(CLI::App& app, EvalOptions& options);
void add_options(CLI::App& app, GradientsOptions& options);
void add_options(CLI::App& app, InfoOptions& options);

}  // namespace apam::training
