#include "apam/training/agreement.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <type_traits>
#include <variant>

#include "apam/training/option_list.h"
#include "apam/training/version.h"
#include "kernels/providers.h"
#include "kernels/runtime/fnv1a.h"

namespace apam::training {
namespace {

// Of a field in to_text().
constexpr std::size_t kName = 0, kValue = 1, kDetail = 2;

std::string text_of(const Option& option) {
  const auto text = [](const auto* field) -> std::string {
    if constexpr (requires { field->has_value(); }) {
      return field->has_value() ? fmt::format("{}", **field) : "none";
    } else if constexpr (std::is_same_v<decltype(field), const bool*>) {
      return *field ? "yes" : "no";
    } else {
      return fmt::format("{}", *field);
    }
  };
  return std::visit(text, option.field);
}

std::string hash_of(const engine::ParameterLayout& layout) {
  Fnv1a hash;
  for (const auto& parameter : layout.parameters()) {
    hash.add_text(parameter.name);
    for (const int extent : parameter.shape) hash.add_bytes(static_cast<std::uint64_t>(extent));
    hash.add_bytes(parameter.offset);
  }
  for (const auto& place : layout.statistics()) {
    hash.add_text(place.name);
    hash.add_bytes(place.mean_offset);
    hash.add_bytes(place.variance_offset);
  }
  return fmt::format("{:016x}", hash.value());
}

/// Replicas must have the same bits after the same updates, and ranks sum in the same order.
std::string device_of_replicas(const RunPlan& plan) {
  if (plan.budget.roles.masters > 0) return "any";
  return plan.exec.device.kind == DeviceKind::cuda ? "cuda" : "cpu";
}

/// Optimizer steps round once or twice per multiply-add.
AgreedField multiply_adds_of_replicas(const RunPlan& plan) {
  AgreedField field{.name = "fused multiply-add in synchronous training", .value = "any"};
  if (device_of_replicas(plan) != "cpu") return field;
  field.value = kernels::cpu::has_fused_multiply_add() ? "it" : "none";
  field.detail = kernels::cpu::instruction_set();
  return field;
}

/// "VALUE (DETAIL)"
std::string shown(const std::string& value, const std::string& detail) {
  return detail.empty() ? value : fmt::format("{} ({})", value, detail);
}

}  // namespace

Fields program_and_options(const TrainOptions& options) {
  Fields fields{{"version", std::string(kVersion)}, {"commit", std::string(kCommit)}};
  TrainOptions copy = options;
  for (const Option& option : describe(copy)) {
    if (option.same_on_all_ranks) fields.push_back({option.name, text_of(option)});
  }
  return fields;
}

Fields data_and_model(const RunPlan& plan) {
  const data::DatasetInfo& info = plan.train->dataset().info();
  return {
      {"the kind of device of synchronous training", device_of_replicas(plan)},
      multiply_adds_of_replicas(plan),
      {"the data set", info.name},
      {"its training images", fmt::format("{}", info.train_images)},
      {"its test images", fmt::format("{}", info.test_images)},
      {"the SHA-256 of its content", info.content_sha256.empty() ? "none" : info.content_sha256},
      {"its image shape", data::to_string(info.shape)},
      {"its classes", fmt::format("{}", fmt::join(info.class_names, " "))},
      {"the hash of its training labels", plan.train_hashes.labels},
      {"the hash of its test labels", plan.test_hashes.labels},
      {"the hash of its training images", plan.train_hashes.pixels},
      {"the hash of its test images", plan.test_hashes.pixels},
      {"updates of the run", fmt::format("{}", plan.schedule.total_updates)},
      {"the layout of the model", hash_of(plan.net->layout())},
  };
}

std::string to_text(const Fields& fields) {
  nlohmann::json list = nlohmann::json::array();
  for (const AgreedField& field : fields) list.push_back({field.name, field.value, field.detail});
  return list.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::optional<std::string> first_disagreement(std::span<const std::string> texts) {
  if (texts.empty()) return std::nullopt;
  std::vector<nlohmann::json> all;
  for (const std::string& text : texts) all.push_back(nlohmann::json::parse(text));
  const auto text_at = [&](std::size_t rank, std::size_t field, std::size_t part) -> std::string {
    return all[rank][field].at(part).get<std::string>();
  };
  for (std::size_t field = 0; field < all[0].size(); ++field) {
    for (std::size_t rank = 1; rank < all.size(); ++rank) {
      // Another version may have fewer fields. Then the version differs, which is the first field.
      const bool missing = field >= all[rank].size();
      if (!missing && text_at(rank, field, kValue) == text_at(0, field, kValue)) continue;
      return fmt::format("ranks disagree on {}: rank 0 has {}, rank {} has {}", text_at(0, field, kName),
                         shown(text_at(0, field, kValue), text_at(0, field, kDetail)), rank,
                         missing ? "nothing" : shown(text_at(rank, field, kValue), text_at(rank, field, kDetail)));
    }
  }
  return std::nullopt;
}

}  // namespace apam::training
