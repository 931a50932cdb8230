// The folder of a run:
//   config.json        the full configuration
//   metrics.jsonl      one JSON object per line, written as it happens
//   epochs.csv         one row per epoch (epoch_table.h), written as it happens
//   order.jsonl        of asynchronous training: the order of its events (event_order.h)
//   summary.json       results, written at the end
//   model.safetensors  weights and running statistics, written at the end
//   checkpoint.safetensors  while the run is not complete: what --resume needs (checkpoint.h)
// A run locks its folder during set-up, but changes nothing there before start(): until then an older run stays complete, and a
// failed set-up leaves no trace. Whole files are AtomicFiles, never visible half written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "apam/training/json_text.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/descriptor.h"

namespace apam::training {

/// What to do with a folder that exists.
enum class Existing : std::uint8_t {
  refuse,     ///< use it only if it is empty
  replace,    ///< use it; replace the files above and nothing else, unless resume_at() tells what stays
  next_free,  ///< use the first of NAME-2, NAME-3, ... that does not exist
};

class RunFolder {
 public:
  static constexpr std::string_view kCheckpoint = "checkpoint.safetensors";
  static constexpr const char* kOrder = "order.jsonl";

  /// Makes the folder or uses the existing one, and holds it until destruction: if two runs request the same name at the same
  /// time, one gets it. Throws InputError if `existing` forbids the folder, it cannot be made, or another run holds it.
  RunFolder(std::filesystem::path path, Existing existing);
  /// Removes a folder that this run made and left empty.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }
  std::filesystem::path checkpoint() const { return path_ / kCheckpoint; }

  /// Before start(), of a folder with a checkpoint: start() cuts the files that grow to these sizes, and keeps the model and
  /// the checkpoint. Throws InputError if one of the files is smaller.
  void resume_at(const std::map<std::string, std::int64_t>& sizes);

  /// Before start(): it keeps a model that is there until the new one replaces it, if that is `file`, which the run begins
  /// with.
  void keep_model(const std::filesystem::path& file);

  /// Of the files that grow, by name; 0 for one that does not exist.
  std::map<std::string, std::int64_t> sizes() const;

  /// Keeps disk space free for write_model(). Throws InputError if there is not enough. Nothing on file systems that cannot.
  void reserve(std::size_t bytes);
  /// Calls `write`, which writes so many bytes, when the reserved space is free.
  template <class Write>
  void use_reserve(const Write& write) {
    reserve_.close();
    write();
  }
  /// The run is complete.
  void remove_checkpoint() const;

  /// Writes the configuration under a temporary name; start() renames it to config.json. Throws InputError if the write fails.
  void write_config(const Json& config);

  /// At the first update: removes the files of an older run and puts config.json in place. Later calls do nothing.
  /// add_metrics(), add_epoch() and write_summary() call it.
  void start();

  /// Appends a line to metrics.jsonl, unbuffered. If that fails, the file keeps only whole lines and InputError is thrown.
  void add_metrics(const Json& line);

  /// Appends a line to epochs.csv, in the same way.
  void add_epoch(const std::string& line);

  /// Appends lines, without the end of the last one, to order.jsonl, in the same way.
  void add_order(const std::string& lines);

  void write_summary(const Json& summary);

 private:
  bool make();
  void append(Descriptor& file, const char* name, const std::string& line);

  std::filesystem::path path_;
  bool made_ = false;  // by this run
  bool started_ = false;
  bool keeps_model_ = false;
  Descriptor lock_;                                             // the folder itself
  Descriptor reserve_;                                          // a file without a name
  std::optional<std::map<std::string, std::int64_t>> resumed_;  // sizes
  std::optional<AtomicFile> config_;
  Descriptor metrics_, epochs_, order_;
};

}  // namespace apam::training
