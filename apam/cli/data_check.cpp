#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>

#include "apam/cli/commands.h"
#include "apam/training/factories.h"
#include "apam/training/json_text.h"
#include "data/packed_file.h"
#include "data/statistics.h"

namespace apam::cli {
namespace {

using training::Json;

constexpr std::size_t kFewClasses = 20;  // each gets a line

/// The same as of a packed file with these images.
std::string content_of(const data::SourceInfo& info, const std::vector<data::PartStatistics>& parts) {
  data::PackedHeader header;
  header.shape = info.shape;
  header.class_names = info.class_names;
  for (const auto& part : parts) {
    header.parts.push_back({.name = part.name,
                            .images = part.images,
                            .labels = {.sha256 = part.labels_sha256},
                            .pixels = {.sha256 = part.pixels_sha256}});
  }
  return content_sha256(header);
}

Json describe(const data::OpenedSource& opened, const std::vector<data::PartStatistics>& parts,
              const std::vector<std::string>& differences) {
  const data::SourceInfo& info = opened.source->info();
  Json json;
  json["data"] = info.name;
  json["location"] = training::json_text(info.location);
  json["packed"] = opened.packed != nullptr;
  json["shape"] = {info.shape.height, info.shape.width, info.shape.channels};
  json["classes"] = info.class_names.size();
  json["class_names"] = Json::array();
  for (const auto& name : info.class_names) json["class_names"].push_back(training::json_text(name));
  json["label_order"] = opened.label_order.empty() ? Json() : Json(opened.label_order);
  json["content_sha256"] = content_of(info, parts);
  json["parts"] = Json::object();
  for (const auto& part : parts) {
    json["parts"][part.name] = {
        {"images", part.images},       {"images_per_class", part.images_per_class}, {"mean", part.mean},
        {"deviation", part.deviation}, {"labels_sha256", part.labels_sha256},       {"pixels_sha256", part.pixels_sha256}};
  }
  json["notes"] = opened.source->notes();
  json["differences"] = differences;
  return json;
}

void print_check(const Json& json) {
  std::cout << fmt::format("{} from {}{}\n", json["data"].get<std::string>(), json["location"].get<std::string>(),
                           json["packed"].get<bool>() ? ", packed: all hashes are as recorded" : "");
  std::cout << fmt::format("images of {}, {} classes{}\n", fmt::join(json["shape"].get<std::vector<int>>(), "x"),
                           json["classes"].get<int>(),
                           json["label_order"].is_null() ? "" : ", label order " + json["label_order"].get<std::string>());
  std::cout << fmt::format("content SHA-256 {}\n", json["content_sha256"].get<std::string>());
  for (const auto& [name, part] : json["parts"].items()) {
    const auto counts = part["images_per_class"].get<std::vector<std::int64_t>>();
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    std::cout << fmt::format("{}: {} images, {} per class\n", name, part["images"].get<std::int64_t>(),
                             *least == *most ? fmt::format("{}", *least) : fmt::format("{} to {}", *least, *most));
    std::cout << fmt::format("  mean       {:.6f}\n", fmt::join(part["mean"].get<std::vector<double>>(), " "));
    std::cout << fmt::format("  deviation  {:.6f}\n", fmt::join(part["deviation"].get<std::vector<double>>(), " "));
    std::cout << fmt::format("  labels     SHA-256 {}\n", part["labels_sha256"].get<std::string>());
    std::cout << fmt::format("  pixels     SHA-256 {}\n", part["pixels_sha256"].get<std::string>());
    for (std::size_t label = 0; label < counts.size() && counts.size() <= kFewClasses; ++label) {
      std::cout << fmt::format("  class {:<3} {:<16} {}\n", label, json["class_names"][label].get<std::string>(),
                               counts[label]);
    }
  }
  for (const auto& note : json["notes"]) std::cout << "note: " << note.get<std::string>() << '\n';
  for (const auto& line : json["differences"]) std::cout << "not the full set: " << line.get<std::string>() << '\n';
}

}  // namespace

int data_check(const training::DataCheckOptions& options) {
  const data::OpenedSource opened = training::open_whole_source(options.data);
  if (opened.packed) opened.packed->verify_pixels();
  const auto parts = data::statistics_of(*opened.source);
  const auto differences = data::differences_from_official(options.data.name, parts);
  const Json json = describe(opened, parts, differences);
  if (options.json) {
    std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  } else {
    print_check(json);
  }
  std::cout << std::flush;
  require<InputError>(differences.empty() || options.any_size, "data: {}: {}; --any-size accepts it", options.data.name,
                      differences.empty() ? "" : differences[0]);
  return 0;
}

}  // namespace apam::cli
