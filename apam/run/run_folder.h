// The folder that a run leaves behind:
//   config.json        the full configuration, written before training begins
//   metrics.jsonl      one JSON object a line, written as it happens
//   summary.json       what came out, written at the end
//   model.safetensors  weights and running statistics, written at the end
// Whole files are AtomicFiles: none is ever seen half written.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace apam::run {

/// Keys keep the order in which they were added: files read like a report.
using Json = nlohmann::ordered_json;

enum class Overwrite : std::uint8_t { refuse, allow };

class RunFolder {
 public:
  /// Makes the folder and tries whether files can be made in it. Throws InputError when they cannot, when `path` is no
  /// folder, and when it holds anything, unless overwriting is allowed: then the files above are removed, and nothing else.
  RunFolder(std::filesystem::path path, Overwrite overwrite);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }

  void write_config(const Json& config) const;
  void write_summary(const Json& summary) const;

  /// Appends a line to metrics.jsonl; it has reached the operating system when this returns.
  void add_metrics(const Json& line);

 private:
  std::filesystem::path path_;
  std::ofstream metrics_;
};

}  // namespace apam::run
