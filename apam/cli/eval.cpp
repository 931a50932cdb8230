#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>

#include "apam/cli/commands.h"
#include "apam/cli/pack_progress.h"
#include "apam/cli/terminal_progress.h"
#include "apam/training/evaluate.h"
#include "apam/training/factories.h"
#include "apam/training/json_text.h"
#include "kernels/providers.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/cores.h"
#include "nets/weight_file.h"

namespace apam::cli {
namespace {

using training::Json;

/// A warning if config.json next to the weights names other data than `data`: another name, another number of images of the
/// split, or other content.
std::optional<std::string> other_data_warning(const training::EvalOptions& options, const data::DatasetInfo& data) {
  const auto path = std::filesystem::path(options.weights).parent_path() / "config.json";
  std::ifstream file(path);
  const Json config = Json::parse(file, nullptr, false);
  if (!config.is_object() || !config.contains("data") || !config["data"].is_string()) return {};
  const auto differs = [&](const std::string& key, const Json& found) {
    return config.contains(key) && !config[key].is_null() && !found.is_null() && config[key] != found;
  };
  const auto content = data.content_sha256.empty() ? Json() : Json(data.content_sha256);
  const std::string images = options.eval_split + "_images";  // there is no count of validation images
  if (!differs("data", data.name) && !differs(images, data.images(*data::parse_split(options.eval_split))) &&
      !differs("data_sha256", content)) {
    return {};
  }
  const auto text = [](const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
  const auto number = [&](const char* key) { return config.contains(key) ? text(config[key]) : "?"; };
  return fmt::format("eval: {}: trained on {}, {} training and {} test images from {}; evaluated on other data", path.string(),
                     text(config["data"]), number("train_images"), number("test_images"), number("data_source"));
}

}  // namespace

int eval(const training::EvalOptions& options) {
  if (!options.json.empty()) AtomicFile::check(options.json);
  const int threads = options.machine.threads > 0 ? options.machine.threads : available_cores();
  Exec exec(exec_options(options.machine, threads));
  const auto dataset = [&] {
    PackProgressLine packing(std::cerr, terminal_columns(STDERR_FILENO));
    return open_data(options.data, options.net, [&](const data::PackProgress& progress) { packing.show(progress); });
  }();
  const auto net = make_net(options.net, *dataset);
  training::Scorer scorer(exec, *net, training::evaluation_batches(dataset, options.eval_split, options.batch));
  const nets::LoadedWeights loaded = nets::load_weights(options.weights, scorer.arena());
  require<InputError>(loaded.running_statistics || net->layout().statistics().empty(),
                      "{}: has no running statistics of batch norm, without which {} cannot be evaluated", options.weights,
                      options.net.name);

  training::require_finite(exec, scorer.arena(), options.weights);

  std::cerr << describe(*dataset) << std::endl;
  const auto warning = other_data_warning(options, dataset->info());
  if (warning) std::cerr << "apam: warning: " << *warning << std::endl;
  const training::Scores scores = *scorer.score([] { return false; });
  if (!scores.finite()) {
    std::cerr << fmt::format("apam: eval: the loss of {} images is {}, expected a number: the model has diverged",
                             scores.images, scores.loss)
              << std::endl;
    return 3;
  }
  std::cout << fmt::format("{} accuracy {:.2f} %  top-5 {:.2f} %  loss {:.4f}  ({} images, {:.1f} images/s)",
                           options.eval_split, 100 * scores.accuracy, 100 * scores.top5, scores.loss, scores.images,
                           static_cast<double>(scores.images) / scores.seconds)
            << std::endl;
  if (!options.json.empty()) {
    const auto sha256 = nets::sha256_of(scorer.arena());
    const data::DatasetInfo& data = dataset->info();
    const Json json = {{"net", options.net.name},
                       {"weights", training::json_text(options.weights)},
                       {"weights_sha256", sha256.weights},
                       {"state_sha256", sha256.state},
                       {"data", options.data.name},
                       {"data_source", training::json_text(data.source)},
                       {"label_order", data.label_order.empty() ? Json() : Json(data.label_order)},
                       {"data_sha256", data.content_sha256.empty() ? Json() : Json(data.content_sha256)},
                       {"eval_split", options.eval_split},
                       {"batch", options.batch},
                       {"device", to_string(exec.device())},
                       {"threads", threads},
                       {"precision", options.machine.precision},
                       {"instruction_set", kernels::cpu::instruction_set()},
                       {"images", scores.images},
                       {"test_accuracy", scores.accuracy},
                       {"test_top5", scores.top5},
                       {"test_loss", scores.loss},
                       {"seconds", scores.seconds}};
    write_file(options.json, json.dump(2) + "\n");
  }
  return 0;
}

}  // namespace apam::cli
