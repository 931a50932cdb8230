// The folder of a run:
//   config.json        the full configuration
//   metrics.jsonl      one JSON object per line, written as it happens
//   epochs.csv         one row per epoch (epoch_table.h), written as it happens
//   summary.json       results, written at the end
//   model.safetensors  weights and running statistics, written at the end
// A run locks its folder during set-up, but changes nothing there before start(): until then an older run stays complete, and a
// failed set-up leaves no trace. Whole files are AtomicFiles, never visible half written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "apam/training/json_text.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/descriptor.h"

namespace apam::training {

/// What to do with a folder that exists.
enum class Existing : std::uint8_t {
  refuse,     ///< use it only if it is empty
  replace,    ///< use it; replace the files above and nothing else
  next_free,  ///< use the first of NAME-2, NAME-3, ... that does not exist
};

class RunFolder {
 public:
  /// Makes the folder or uses the existing one, and holds it until destruction: if two runs request the same name at the same
  /// time, one gets it. Throws InputError if `existing` forbids the folder, it cannot be made, or another run holds it.
  RunFolder(std::filesystem::path path, Existing existing);
  /// Removes a folder that this run made and left empty.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }

  /// Writes the configuration under a temporary name; start() renames it to config.json. Throws InputError if the write fails.
  void write_config(const Json& config);

  /// At the first update: removes the files of an older run and puts config.json in place. Later calls do nothing.
  /// add_metrics(), add_epoch() and write_summary() call it.
  void start();

  /// Appends a line to metrics.jsonl, unbuffered. If that fails, the file keeps only whole lines and InputError is thrown.
  void add_metrics(const Json& line);

  /// Appends a line to epochs.csv, in the same way.
  void add_epoch(const std::string& line);

  void write_summary(const Json& summary);

 private:
  bool make();
  void append(Descriptor& file, const char* name, const std::string& line);

  std::filesystem::path path_;
  bool made_ = false;  // by this run
  bool started_ = false;
  Descriptor lock_;  // the folder itself
  std::optional<AtomicFile> config_;
  Descriptor metrics_, epochs_;
};

}  // namespace apam::training
