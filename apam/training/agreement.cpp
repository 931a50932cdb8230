#include "apam/training/agreement.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "apam/training/version.h"

namespace apam::training {
namespace {

template <class T>
std::string text_of(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "none";
}

/// FNV-1a.
class Hash {
 public:
  void add(std::uint64_t word) {
    for (unsigned byte = 0; byte < 8; ++byte) value_ = (value_ ^ ((word >> (8 * byte)) & 0xffU)) * 0x100000001b3;
  }
  void add(const std::string& text) {
    for (const unsigned char letter : text) add(std::uint64_t{letter});
    add(std::uint64_t{text.size()});
  }
  std::string text() const { return fmt::format("{:016x}", value_); }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

std::string hash_of(const engine::ParameterLayout& layout) {
  Hash hash;
  for (const auto& parameter : layout.parameters()) {
    hash.add(parameter.name);
    for (const int extent : parameter.shape) hash.add(static_cast<std::uint64_t>(extent));
    hash.add(std::uint64_t{parameter.offset});
  }
  for (const auto& place : layout.statistics()) {
    hash.add(place.name);
    hash.add(std::uint64_t{place.mean_offset});
    hash.add(std::uint64_t{place.variance_offset});
  }
  return hash.text();
}

}  // namespace

Fields program_and_options(const TrainOptions& options) {
  return {
      {"version", fmt::format("{}", kVersion)},
      {"commit", fmt::format("{}", kCommit)},
      {"--exchange", options.exchange},
      {"--net", options.net.name},
      {"--classes", text_of(options.net.classes)},
      {"--data", options.data.name},
      {"--train-images", fmt::format("{}", options.data.train_images)},
      {"--test-images", fmt::format("{}", options.data.test_images)},
      {"--batch", fmt::format("{}", options.batch)},
      {"--seed", fmt::format("{}", options.seed)},
      {"--order", options.order},
      {"--augment", options.augment},
      {"--optimizer", options.optimizer},
      {"--lr", fmt::format("{}", options.learning_rate)},
      {"--beta1", fmt::format("{}", options.beta1)},
      {"--beta2", fmt::format("{}", options.beta2)},
      {"--eps", fmt::format("{}", options.eps)},
      {"--weight-decay", fmt::format("{}", options.weight_decay)},
      {"--epochs", text_of(options.epochs)},
      {"--max-updates", fmt::format("{}", options.max_updates)},
      {"--eval-every", fmt::format("{}", options.eval_every)},
      {"--keep-going", options.keep_going ? "yes" : "no"},
      {"precision", "float32"},
  };
}

Fields data_and_model(const Plan& plan) {
  const data::Dataset& dataset = plan.train->dataset();
  const data::DatasetInfo& info = dataset.info();
  return {
      {"the data set", info.name},
      {"its training images", fmt::format("{}", info.train_images)},
      {"its test images", fmt::format("{}", info.test_images)},
      {"its image shape", data::to_string(info.shape)},
      {"its classes", fmt::format("{}", fmt::join(info.class_names, " "))},
      {"the hash of its training labels", fmt::format("{:016x}", data::hash_of_labels(dataset, data::Split::train))},
      {"the hash of its test labels", fmt::format("{:016x}", data::hash_of_labels(dataset, data::Split::test))},
      {"updates of the run", fmt::format("{}", plan.schedule.total_updates)},
      {"the layout of the model", hash_of(plan.net->layout())},
  };
}

std::string to_text(const Fields& fields) {
  return nlohmann::json(fields).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::optional<std::string> first_disagreement(std::span<const std::string> texts) {
  if (texts.empty()) return std::nullopt;
  const auto first = nlohmann::json::parse(texts[0]).get<Fields>();
  std::vector<Fields> all;
  for (const std::string& text : texts) all.push_back(nlohmann::json::parse(text).get<Fields>());
  for (std::size_t field = 0; field < first.size(); ++field) {
    for (std::size_t rank = 1; rank < all.size(); ++rank) {
      // Another version may say fewer fields; then the version, which comes first, differs.
      const std::string theirs = field < all[rank].size() ? all[rank][field].second : "nothing";
      if (theirs == first[field].second) continue;
      return fmt::format("ranks disagree on {}: rank 0 has {}, rank {} has {}", first[field].first, first[field].second, rank,
                         theirs);
    }
  }
  return std::nullopt;
}

}  // namespace apam::training
