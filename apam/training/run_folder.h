// The folder that a run leaves behind:
//   config.json        the full configuration
//   metrics.jsonl      one JSON object a line, written as it happens
//   summary.json       what came out, written at the end
//   model.safetensors  weights and running statistics, written at the end
// A run owns its folder from its set-up on, but puts nothing there before start(): until then an older run stays whole, and a
// set-up that fails leaves no trace. Whole files are AtomicFiles: none is ever seen half written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/descriptor.h"

namespace apam::training {

/// Keys keep the order in which they were added: files read like a report.
using Json = nlohmann::ordered_json;

/// What to do with a folder that is there.
enum class Existing : std::uint8_t {
  refuse,     ///< use it when it is empty
  replace,    ///< use it; the files above are replaced by those of this run, and nothing else is touched
  pass_over,  ///< take the first of NAME-2, NAME-3, ... that is not there
};

class RunFolder {
 public:
  /// Makes the folder, or takes the one that is there, and owns it until the object is gone: of two runs that want the same
  /// name at the same time one gets it. Throws InputError when the folder is not to be used, cannot be made, or belongs to a
  /// run that is under way.
  RunFolder(std::filesystem::path path, Existing existing);
  /// A folder that this run made and put nothing into is removed.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }

  /// Writes the configuration under a name that start() changes to config.json. Throws InputError when the folder does not
  /// take it.
  void write_config(const Json& config);

  /// The run has something to show, its first update: files of an older run go, config.json comes. Later calls do nothing;
  /// add_metrics() and write_summary() call it.
  void start();

  /// Appends a line to metrics.jsonl; it has reached the operating system when this returns, or an InputError is thrown and
  /// the file has whole lines only.
  void add_metrics(const Json& line);

  void write_summary(const Json& summary);

 private:
  bool make();

  std::filesystem::path path_;
  bool made_ = false;  // by this run
  bool started_ = false;
  Descriptor lock_;  // the folder itself
  std::optional<AtomicFile> config_;
  Descriptor metrics_;
};

}  // namespace apam::training
