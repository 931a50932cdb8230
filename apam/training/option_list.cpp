#include "apam/training/option_list.h"

#include <algorithm>
#include <utility>

#include "apam/training/shared_options.h"
#include "data/export.h"

namespace apam::training {

using namespace shared_options;

std::string Option::key() const {
  std::string key = name.substr(2);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

List describe(EvalOptions& options) {
  List list{required(net_option(options.net)), classes_option(options.net, "as many as the data set has"),
            file_option("--weights", options.weights, "Network", "The model to evaluate")};
  add_data(list, options.data);
  list.push_back(eval_split_option(options.eval_split, "Data"));
  list.push_back(images_option("--batch", options.batch, "Data", "Images per batch; allcnn's scores depend on it"));
  add_machine(list, options.machine, "Threads", "all cores");
  list.push_back({.name = "--json",
                  .field = &options.json,
                  .group = "Output",
                  .unit = "FILE",
                  .help = "Also write the scores to this file"});
  return list;
}

List describe(ReplayOptions& options) {
  return {file_option("--run", options.run, "Run", "Folder of the run, with config.json and order.jsonl"),
          {.name = "--data-root",
           .field = &options.data_root,
           .group = "Run",
           .unit = "PATH",
           .help = "Where its data are now",
           .otherwise = "where they were"},
          {.name = "--init",
           .field = &options.init,
           .group = "Run",
           .unit = "FILE",
           .help = "Where its initial weights are now, if it had a file of them",
           .otherwise = "where they were"},
          {.name = "--update",
           .field = &options.update,
           .group = "Output",
           .unit = "UPDATE",
           .help = "Stop at this update, or at the end of its pass over the weights",
           .otherwise = "the last one",
           .least = 1},
          {.name = "--jobs",
           .field = &options.jobs,
           .group = "Threads",
           .unit = "N",
           .help = "Gradients that are computed at a time, each by as many threads as its worker had",
           .otherwise = "as many as there are cores for; on a GPU 1",
           .least = 1,
           .most = kMostThreads},
          {.name = "--weights",
           .field = &options.weights,
           .group = "Output",
           .unit = "FILE",
           .help = "Write the weights and running statistics after the last update that was made"}};
}

List describe(GradientsOptions& options) {
  List list{required(net_option(options.net)), classes_option(options.net, "10"),
            file_option("--weights", options.weights, "Network", "Weights"),
            file_option("--batch", options.batch, "Data", "input (N, 3, 32, 32) F32, normalised, and target (N) I64"),
            file_option("--out", options.out, "Output", "Receives the loss and one gradient per parameter")};
  add_machine(list, options.machine, "Threads", "all cores");
  return list;
}

List describe(InfoOptions& options) {
  List list{{.name = "--json", .field = &options.json, .group = "Output", .help = "Print JSON"}};
  Option net = net_option(options.net);
  net.help = "Run one step of this network and list the kernels chosen for it";
  list.push_back(std::move(net));
  list.push_back(classes_option(options.net, "10"));
  list.push_back(images_option("--batch", options.batch, "Network", "Images of that step"));
  add_machine(list, options.machine, "Threads", "all cores");
  list.push_back({.name = "--retime",
                  .field = &options.retime,
                  .group = "Machine",
                  .help = "Time the kernels of that step again and replace the stored timings, except by doubtful ones",
                  .needs = "--net"});
  return list;
}

List describe(DataPackOptions& options) {
  List list;
  add_data_source(list, options.data);
  add_image_counts(list, options.data, true);
  list.push_back({.name = "--out",
                  .field = &options.out,
                  .group = "Output",
                  .unit = "FILE",
                  .help = "The packed file; an interrupted run is continued",
                  .required = true});
  return list;
}

List describe(DataCheckOptions& options) {
  List list;
  add_data_source(list, options.data);
  add_image_counts(list, options.data, true);
  list.push_back({.name = "--any-size",
                  .field = &options.any_size,
                  .group = "Data",
                  .help = "Accept other numbers of images than those of the full data set"});
  list.push_back({.name = "--json", .field = &options.json, .group = "Output", .help = "Print JSON"});
  return list;
}

List describe(DataExportOptions& options) {
  const auto formats = data::export_formats();
  List list;
  add_data_source(list, options.data);
  list.push_back(count_option("--train-images", options.train_images, "Export the first N training images", "all"));
  list.push_back(count_option("--test-images", options.test_images, "Export the first N test images", "all"));
  list.push_back({.name = "--format",
                  .field = &options.format,
                  .group = "Output",
                  .help = "Form of the exported files",
                  .choices = {formats.begin(), formats.end()}});
  list.push_back({.name = "--out",
                  .field = &options.out,
                  .group = "Output",
                  .unit = "DIR",
                  .help = "Folder, empty or new",
                  .required = true});
  return list;
}

}  // namespace apam::training
