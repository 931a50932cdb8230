// The options of apam train.
#include "apam/training/option_list.h"

#include <fmt/format.h>

#include <utility>

#include "apam/exchange/artificial_delay.h"
#include "apam/exchange/policies/policy.h"
#include "apam/training/shared_options.h"
#include "engine/optim/optimizer.h"

namespace apam::training {

using namespace shared_options;

namespace {

void add_optimizer(List& list, TrainOptions& options) {
  const std::string group = "Optimizer";
  list.push_back(agreed({.name = "--optimizer",
                         .field = &options.optimizer,
                         .group = group,
                         .help = "Update rule",
                         .choices = {"amsgrad", "adam", "sgd"}}));
  list.push_back(agreed(number_option("--lr", options.learning_rate, group, "Learning rate")));
  const engine::OptimizerOptions defaults;
  const auto of_moments = [&](std::string name, std::optional<double>& field, double otherwise, std::string help) {
    list.push_back(agreed({.name = std::move(name),
                           .field = &field,
                           .group = group,
                           .unit = "F",
                           .help = std::move(help),
                           .otherwise = fmt::format("{}; not of sgd", otherwise)}));
  };
  of_moments("--beta1", options.beta1, defaults.beta1, "Decay of the mean of gradients");
  of_moments("--beta2", options.beta2, defaults.beta2, "Decay of the mean of squared gradients");
  of_moments("--eps", options.eps, defaults.eps, "Added to the root in the denominator");
  list.push_back(agreed({.name = "--momentum",
                         .field = &options.momentum,
                         .group = group,
                         .unit = "F",
                         .help = "Decay of the sum of gradients along which a step goes",
                         .otherwise = "0; only of sgd"}));
  list.push_back(agreed({.name = "--nesterov",
                         .field = &options.nesterov,
                         .group = group,
                         .help = "Nesterov's momentum: a step goes along the gradient plus --momentum times that sum"}));
  list.push_back(agreed(number_option("--weight-decay", options.weight_decay, group, "L2 penalty, added to gradients")));
}

void add_learning_rate(List& list, TrainOptions& options) {
  const std::string group = "Optimizer";
  list.push_back(
      agreed({.name = "--lr-schedule",
              .field = &options.lr_schedule,
              .group = group,
              .help = "Learning rate over the updates; step: times a factor every few epochs; cosine: half a period, "
                      "to almost 0 at the last update",
              .choices = {"constant", "step", "cosine"}}));
  list.push_back(agreed({.name = "--lr-step-epochs",
                         .field = &options.lr_step_epochs,
                         .group = group,
                         .unit = "EPOCHS",
                         .help = "Epochs between two reductions",
                         .otherwise = "required by step",
                         .least = 1}));
  list.push_back(agreed({.name = "--lr-step-factor",
                         .field = &options.lr_step_factor,
                         .group = group,
                         .unit = "F",
                         .help = "Factor of a reduction",
                         .otherwise = "step: 0.1"}));
  list.push_back(agreed({.name = "--warmup-updates",
                         .field = &options.warmup_updates,
                         .group = group,
                         .unit = "UPDATES",
                         .help = "The learning rate grows linearly over these first updates; 0: no warm-up"}));
}

void add_staleness(List& list, TrainOptions& options) {
  const std::string group = "Exchange";
  const auto names = exchange::policy_names();
  list.push_back(
      agreed({.name = "--staleness-policy",
              .field = &options.staleness_policy,
              .group = group,
              .help = "async: what becomes of stale gradients; R, K and C are the next three options. bound: refused above R; "
                      "ringmaster: refused and cancelled from R on; ssp: a worker more than R ahead of the slowest waits; "
                      "rennala: K of the current version are averaged; scaled: rate / (1 + C tau); fadas: min(rate, 1 / "
                      "tau) above R; cgad: gradient * e^(-C tau), to 0 at R; compensated: g + C g g (w_now - w_base); "
                      "rescaled: rate * updates since "
                      "the worker's last one / workers",
              .choices = {names.begin(), names.end()}}));
  list.push_back(agreed({.name = "--staleness-bound",
                         .field = &options.staleness_bound,
                         .group = group,
                         .unit = "R",
                         .help = "Updates, for ssp gradients of a worker",
                         .otherwise = "required by bound, ringmaster, ssp, fadas, cgad"}));
  list.push_back(agreed({.name = "--staleness-gradients",
                         .field = &options.staleness_gradients,
                         .group = group,
                         .unit = "K",
                         .help = "Gradients per update",
                         .otherwise = "required by rennala",
                         .least = 1}));
  list.push_back(agreed({.name = "--staleness-factor",
                         .field = &options.staleness_factor,
                         .group = group,
                         .unit = "C",
                         .help = "Strength of the correction",
                         .otherwise = "required by scaled, cgad, compensated"}));
  list.push_back(agreed({.name = "--sync-warmup",
                         .field = &options.sync_warmup,
                         .group = group,
                         .unit = "UPDATES",
                         .help = "async: the first updates are each the mean of as many gradients of the current version as "
                                 "there are workers; 0: none"}));
}

void add_schedule(List& list, TrainOptions& options) {
  const std::string group = "Schedule";
  list.push_back(agreed(images_option("--batch", options.batch, group, "Images per update, over all workers in sync")));
  list.push_back(agreed({.name = "--epochs",
                         .field = &options.epochs,
                         .group = group,
                         .unit = "N",
                         .help = "Passes over the training images, by all workers together",
                         .otherwise = "1; no limit with --max-updates",
                         .least = 1}));
  list.push_back(agreed({.name = "--max-updates",
                         .field = &options.max_updates,
                         .group = group,
                         .unit = "UPDATES",
                         .help = "Stop after this many updates; 0: no limit"}));
  list.push_back(agreed({.name = "--keep-going",
                         .field = &options.keep_going,
                         .group = group,
                         .help = "Continue when the loss or a weight is no longer finite",
                         .otherwise = "stop with exit code 3"}));
  list.push_back(agreed({.name = "--seed",
                         .field = &options.seed,
                         .group = group,
                         .unit = "N",
                         .help = "Seed of initial weights, order and augmentation"}));
  list.push_back(agreed({.name = "--order",
                         .field = &options.order,
                         .group = group,
                         .help = "Order of the images in an epoch",
                         .choices = {"shuffled", "sequential"}}));
  list.push_back(agreed({.name = "--augment",
                         .field = &options.augment,
                         .group = group,
                         .help = "standard: crop from a 4-pixel border, flip",
                         .choices = {"standard", "none"}}));
  list.push_back({.name = "--loader-threads",
                  .field = &options.loader_threads,
                  .group = group,
                  .unit = "N",
                  .help = "Threads per worker that prefetch batches; 0: no prefetching",
                  .most = kMostThreads});
}

void add_evaluation(List& list, TrainOptions& options) {
  const std::string group = "Evaluation";
  list.push_back(agreed(eval_split_option(options.eval_split, group)));
  list.push_back(agreed({.name = "--eval-every",
                         .field = &options.eval_every,
                         .group = group,
                         .unit = "UPDATES",
                         .help = "Updates between evaluations; 0: one epoch. The last update is always "
                                 "evaluated"}));
  list.push_back(images_option("--eval-batch", options.eval_batch, group, "Images per batch; allcnn's scores depend on it"));
  list.push_back(
      agreed({.name = "--bn",
              .field = &options.bn,
              .group = group,
              .help = "Statistics of batch norm; running: averages over the updates; recalibrate: computed on the weights "
                      "before each evaluation, from training images",
              .choices = {"running", "recalibrate"}}));
  list.push_back(agreed({.name = "--bn-images",
                         .field = &options.bn_images,
                         .group = group,
                         .unit = "IMAGES",
                         .help = "Training images to recalibrate on; uses whole batches of --batch images, at least one",
                         .otherwise = "recalibrate: 10000, or all if there are fewer",
                         .least = 1,
                         .most = kMostImages}));
  list.push_back({.name = "--eval-threads",
                  .field = &options.eval_threads,
                  .group = group,
                  .unit = "N",
                  .help = "async, sync: threads",
                  .otherwise = "1 next to the workers",
                  .least = 1,
                  .most = kMostThreads});
}

void add_output(List& list, TrainOptions& options) {
  const std::string group = "Output";
  list.push_back({.name = "--out",
                  .field = &options.out,
                  .group = group,
                  .unit = "DIR",
                  .help = "Run folder, empty or new",
                  .otherwise = "runs/NET-DATA-EXCHANGE-TIME"});
  list.push_back(
      {.name = "--overwrite", .field = &options.overwrite, .group = group, .help = "Replace the run in that folder"});
  list.push_back(agreed({.name = "--resume",
                         .field = &options.resume,
                         .group = group,
                         .help = "Continue the run in --out from its checkpoint, with the same options; without one, begin",
                         .needs = "--out"}));
  list.push_back(agreed({.name = "--checkpoint-every",
                         .field = &options.checkpoint_every,
                         .group = group,
                         .unit = "UPDATES",
                         .help = "Updates between checkpoints for --resume, and one when a signal ends the run; 0: none",
                         .otherwise = "every 10 minutes"}));
  list.push_back({.name = "--log-every",
                  .field = &options.log_every,
                  .group = group,
                  .unit = "UPDATES",
                  .help = "Updates per training line of metrics.jsonl",
                  .least = 1});
  list.push_back(
      agreed({.name = "--trace",
              .field = &options.trace,
              .group = group,
              .unit = "FILE",
              .help = "Write what all ranks did, and when, for ui.perfetto.dev: the first 32768 events of each rank, "
                      "a million of all",
              .otherwise = "no trace"}));
}

}  // namespace

List describe(TrainOptions& options) {
  List list{agreed(net_option(options.net)), agreed(classes_option(options.net, "as many as the data set has"))};
  Option init = file_option("--init", options.init, "Network", "Initial weights");
  init.required = false;
  init.otherwise = "drawn from the seed";
  list.push_back(std::move(init));
  add_data(list, options.data);
  list.push_back(agreed(
      {.name = "--exchange",
       .field = &options.exchange,
       .group = "Exchange",
       .help = "local: one process; async: rank 0 is the master (--masters), the others are workers (--colocate: so is it); "
               "sync: all ranks share each batch",
       .choices = {"local", "async", "sync"}}));
  list.push_back(
      agreed({.name = "--max-delay",
              .field = &options.max_delay,
              .group = "Exchange",
              .unit = "VERSIONS",
              .help = "local: computes each gradient on weights picked at random from this many latest versions; 1: on "
                      "the latest",
              .least = 1,
              .most = exchange::ArtificialDelay::kMostDelay}));
  list.push_back(agreed(
      {.name = "--transport",
       .field = &options.transport,
       .group = "Exchange",
       .help =
           "async, sync: shared: gradients and weights stay in memory that all ranks of one host share; mpi: messages; auto: "
           "shared if all ranks are on one host and compute on the CPU, or, async, all on GPUs, else mpi; nccl: "
           "sync, one rank per GPU",
       .choices = {"auto", "shared", "mpi", "nccl"}}));
  list.push_back(agreed({.name = "--wire",
                         .field = &options.wire,
                         .group = "Exchange",
                         .help = "async, with --transport mpi: type of gradients and weights in messages; the master's weights "
                                 "stay float32",
                         .choices = {"float32", "bf16"}}));
  list.push_back(
      agreed({.name = "--prefetch-weights",
              .field = &options.prefetch_weights,
              .group = "Exchange",
              .help = "async, by messages: a worker does not wait for newer weights: it computes its next gradient on those it "
                      "has, which makes gradients one exchange older; not through shared memory"}));
  list.push_back(
      agreed({.name = "--masters",
              .field = &options.masters,
              .group = "Exchange",
              .unit = "M",
              .help = "async: ranks 0 to M-1 are masters, which share the weights among them; the results are those of one "
                      "master; on the CPU",
              .least = 1,
              .most = kMostThreads}));
  list.push_back(agreed(
      {.name = "--master-order",
       .field = &options.master_order,
       .group = "Exchange",
       .help = "with --masters: sequenced: rank 0 orders the updates, and the others repeat them; free: each master applies "
               "gradients in the order in which they arrive there, and waits for no other; by messages, for staleness "
               "policies that apply every gradient",
       .choices = {"sequenced", "free"}}));
  list.push_back(agreed({.name = "--colocate",
                         .field = &options.colocate,
                         .group = "Exchange",
                         .help = "async: every rank is a worker, and ranks 0 to M-1 are masters too; on the CPU"}));
  list.push_back(
      agreed({.name = "--sync-backup",
              .field = &options.sync_backup,
              .group = "Exchange",
              .unit = "B",
              .help = "sync: backup ranks: the first N - B of N gradients make an update, later ones are dropped; each "
                      "rank computes 1 / (N - B) of a batch; 0: all make it; on the CPU"}));
  list.push_back({.name = "--master-threads",
                  .field = &options.master_threads,
                  .group = "Exchange",
                  .unit = "N",
                  .help = "async: threads of a master for updates",
                  .otherwise = "the cores that workers leave, at least 1",
                  .least = 1,
                  .most = kMostThreads});
  add_optimizer(list, options);
  add_learning_rate(list, options);
  add_schedule(list, options);
  add_staleness(list, options);
  add_evaluation(list, options);
  add_machine(list, options.machine, "Threads per rank that computes", "its cores, divided among the ranks that share them");
  add_output(list, options);
  return list;
}

}  // namespace apam::training
