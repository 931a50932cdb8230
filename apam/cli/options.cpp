#include "apam/training/options.h"

#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <type_traits>
#include <vector>

#include "nets/net.h"

namespace apam::cli {
namespace {

using Names = std::vector<std::string>;

Names net_names() {
  Names names;
  for (const auto& entry : nets::all_nets()) names.emplace_back(entry.name);
  return names;
}

Names data_names() {
  const auto known = data::dataset_names();
  return {known.begin(), known.end()};
}

constexpr int kMostThreads = 1024;
constexpr std::int64_t kMostImages = std::numeric_limits<std::int32_t>::max();  // an image's place in an epoch is an int32

/// Accepts whole numbers from `least` to `most`.
template <class N>
CLI::Validator at_least(N least, N most = std::numeric_limits<N>::max()) {
  return {[least, most](std::string& text) {
            N value = 0;
            const char* end = text.data() + text.size();
            const auto [stop, error] = std::from_chars(text.data(), end, value);
            if (stop != end || error == std::errc::invalid_argument) {
              return fmt::format("expected a whole number from {} on, got '{}'", least, text);
            }
            if (error != std::errc{} || value > most) return fmt::format("{} is too large, expected at most {}", text, most);
            return value >= least ? std::string() : fmt::format("{} is too small, expected at least {}", text, least);
          },
          ""};
}

/// Accepts finite numbers.
CLI::Validator finite() {
  return {[](std::string& text) {
            double value = 0;
            const bool good = CLI::detail::lexical_cast(text, value) && std::isfinite(value);
            return good ? std::string() : fmt::format("expected a finite number, got '{}'", text);
          },
          ""};
}

CLI::Validator one_of(const Names& names) {
  return {[names](std::string& text) {
            for (const auto& name : names) {
              if (name == text) return std::string();
            }
            return fmt::format("expected one of {}, got '{}'", fmt::join(names, ", "), text);
          },
          ""};
}

/// A shell variable that is not set makes '' of a name: never what was meant.
CLI::Validator not_empty() {
  return {[](std::string& text) {
            return text.empty() ? std::string("the name is empty; was a variable meant that is not set?") : std::string();
          },
          ""};
}

CLI::Option* show(CLI::Option* option, const char* group, const std::string& unit) {
  return option->group(group)->type_name(unit);
}

/// An option with a default that the help shows.
template <class T>
CLI::Option* add(CLI::App& app, const char* group, const std::string& name, T& value, const std::string& unit,
                 const std::string& help) {
  return show(app.add_option(name, value, help), group, unit)->capture_default_str();
}

template <class N>
CLI::Option* add_number(CLI::App& app, const char* group, const std::string& name, N& value, std::type_identity_t<N> least,
                        const std::string& unit, const std::string& help) {
  return add(app, group, name, value, unit, help)->check(at_least(least));
}

/// A number of images.
CLI::Option* add_images(CLI::App& app, const char* group, const std::string& name, std::int64_t& value, const std::string& unit,
                        const std::string& help) {
  return add(app, group, name, value, unit, help)->check(at_least<std::int64_t>(1, kMostImages));
}

CLI::Option* add_name(CLI::App& app, const char* group, const std::string& name, std::string& value, const Names& names,
                      const std::string& help) {
  return add(app, group, name, value, fmt::format("{}", fmt::join(names, "|")), help)->check(one_of(names));
}

void add_net(CLI::App& app, NetOptions& net, bool required) {
  auto* name = add_name(app, "Network", "--net", net.name, net_names(), "The network");
  if (required) name->required()->default_str("");
}

void add_classes(CLI::App& app, NetOptions& net, const char* otherwise) {
  show(app.add_option("--classes", net.classes, fmt::format("Classes that it tells apart [{}]", otherwise)), "Network", "N")
      ->check(at_least(1));
}

void add_data(CLI::App& app, DataOptions& data) {
  constexpr auto group = "Data";
  add_name(app, group, "--data", data.name, data_names(), "The images");
  show(app.add_option("--data-root", data.root, "Folder of the data files [cifar10: a sample that comes with apam]"), group,
       "DIR")
      ->check(not_empty());
  add_images(app, group, "--train-images", data.train_images, "N", "Training images (synthetic)");
  add_images(app, group, "--test-images", data.test_images, "N", "Test images (synthetic)");
}

void add_machine(CLI::App& app, MachineOptions& machine, const char* threads) {
  constexpr auto group = "Machine";
  add(app, group, "--device", machine.device, "cpu|cuda", "Where kernels run");
  show(app.add_option("--threads", machine.threads, threads), group, "N")->check(at_least(1, kMostThreads));
  add(app, group, "--kernels", machine.kernels, "SPEC",
      "Who computes what: PROVIDER or OP[.PASS]=PROVIDER[,...]; auto: the first provider, or one that is faster by more than "
      "5 %, timed once per machine");
  show(app.add_option("--kernel-cache", machine.kernel_cache,
                      "Where those timings are kept, '' for nowhere [$APAM_CACHE_DIR or ~/.cache/apam]"),
       group, "DIR");
}

void add_optimizer(CLI::App& app, TrainOptions& options) {
  constexpr auto group = "Optimizer";
  add_name(app, group, "--optimizer", options.optimizer, {"amsgrad", "adam", "sgd"}, "The rule of an update");
  add(app, group, "--lr", options.learning_rate, "F", "Learning rate")->check(finite());
  add(app, group, "--beta1", options.beta1, "F", "Decay of the mean of gradients")->check(finite());
  add(app, group, "--beta2", options.beta2, "F", "Decay of the mean of squared gradients")->check(finite());
  add(app, group, "--eps", options.eps, "F", "Added to the root in the denominator")->check(finite());
  add(app, group, "--weight-decay", options.weight_decay, "F", "L2 penalty, added to gradients")->check(finite());
}

void add_schedule(CLI::App& app, TrainOptions& options) {
  constexpr auto group = "Schedule";
  add_images(app, group, "--batch", options.batch, "IMAGES", "Images an update, over all workers in sync");
  show(app.add_option("--epochs", options.epochs,
                      "Passes over the training images, over all workers together [1; no limit with --max-updates]"),
       group, "N")
      ->check(at_least<std::int64_t>(1));
  add_number(app, group, "--max-updates", options.max_updates, 0, "UPDATES", "End after so many updates; 0: no such limit");
  app.add_flag("--keep-going", options.keep_going, "Go on when the loss or a weight is no longer finite [end with status 3]")
      ->group(group);
  add_number(app, group, "--seed", options.seed, 0, "N", "Seed of initial weights, order and augmentation");
  add_name(app, group, "--order", options.order, {"shuffled", "sequential"}, "Order of the images in an epoch");
  add_name(app, group, "--augment", options.augment, {"standard", "none"}, "standard: crop from a 4-pixel border, flip");
  add(app, group, "--loader-threads", options.loader_threads, "N",
      "Threads per worker that prepare batches; 0: it does so itself")
      ->check(at_least(0, kMostThreads));
}

void add_evaluation(CLI::App& app, TrainOptions& options) {
  constexpr auto group = "Evaluation";
  add_number(app, group, "--eval-every", options.eval_every, 0, "UPDATES",
             "Score the test images every so many updates; 0: at the end of each epoch. Always at the end");
  add_images(app, group, "--eval-batch", options.eval_batch, "IMAGES", "Images at once");
  show(app.add_option("--eval-threads", options.eval_threads, "Threads [local: --threads; async, sync: 1 beside the workers]"),
       group, "N")
      ->check(at_least(1, kMostThreads));
}

}  // namespace

void add_options(CLI::App& app, TrainOptions& options) {
  add_net(app, options.net, false);
  add_classes(app, options.net, "as the data have");
  show(app.add_option("--init", options.init, "Weights to begin with [drawn from the seed]"), "Network", "FILE.safetensors")
      ->check(not_empty());
  add_data(app, options.data);
  add_name(app, "Exchange", "--exchange", options.exchange, {"local", "async", "sync"},
           "local: one process; async: rank 0 is the master, the others workers; sync: all ranks share each batch");
  add_optimizer(app, options);
  add_schedule(app, options);
  add_evaluation(app, options);
  add_machine(app, options.machine, "Threads of each rank that computes [its cores, divided among the ranks that share them]");
  constexpr auto group = "Output";
  show(app.add_option("--out", options.out, "Folder of the run, empty or new [runs/NET-DATA-EXCHANGE-TIME]"), group, "DIR")
      ->check(not_empty());
  app.add_flag("--overwrite", options.overwrite, "Replace the run in that folder")->group(group);
  add_number(app, group, "--log-every", options.log_every, 1, "UPDATES", "Updates a training line of metrics.jsonl");
}

void add_options(CLI::App& app, EvalOptions& options) {
  add_net(app, options.net, true);
  add_classes(app, options.net, "as the data have");
  show(app.add_option("--weights", options.weights, "The model to score"), "Network", "FILE.safetensors")
      ->required()
      ->check(not_empty());
  add_data(app, options.data);
  add_images(app, "Data", "--batch", options.batch, "IMAGES", "Images at once");
  add_machine(app, options.machine, "Threads [all cores]");
  show(app.add_option("--json", options.json, "Write the scores there too"), "Output", "FILE")->check(not_empty());
}

void add_options(CLI::App& app, GradientsOptions& options) {
  add_net(app, options.net, true);
  add_classes(app, options.net, "10");
  show(app.add_option("--weights", options.weights, "Weights"), "Network", "FILE.safetensors")->required()->check(not_empty());
  show(app.add_option("--batch", options.batch, "input (N, 3, 32, 32) F32, normalised, and target (N) I64"), "Data",
       "FILE.safetensors")
      ->required()
      ->check(not_empty());
  show(app.add_option("--out", options.out, "Receives loss, and a gradient a parameter"), "Output", "FILE.safetensors")
      ->required()
      ->check(not_empty());
  add_machine(app, options.machine, "Threads [all cores]");
}

void add_options(CLI::App& app, InfoOptions& options) {
  app.add_flag("--json", options.json, "As JSON")->group("Output");
  auto* net = show(app.add_option("--net", options.net.name, "Run one step of this network and list the kernels chosen for it"),
                   "Network", fmt::format("{}", fmt::join(net_names(), "|")))
                  ->check(one_of(net_names()));
  add_classes(app, options.net, "10");
  add_images(app, "Network", "--batch", options.batch, "IMAGES", "Images of that step");
  add_machine(app, options.machine, "Threads [all cores]");
  app.add_flag("--retime", options.retime,
               "Time the kernels of that step again and replace the timings that are kept, but for those that stay doubtful")
      ->group("Machine")
      ->needs(net);
  options.net.name.clear();
}

}  // namespace apam::cli
