// Writes a packed data set (data/packed_header.h) from a source, in one pass.
//
// The file appears under its name only when it is complete (data/resumable_file.h). FILE.partial.journal records how many
// images of each part are on disk. A later call for the same source continues after these: it reads back what is there to
// compute the hashes, which is much faster than decoding it again. A FILE.partial of another source, or without a journal, is
// started from scratch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "data/source.h"

namespace apam::data {

struct PackProgress {
  std::string name;            ///< of the data set
  std::filesystem::path file;  ///< that is being written
  std::int64_t done = 0;       ///< images, of all parts
  std::int64_t total = 0;
  bool waiting = false;  ///< for another process that writes this file
};

struct PackOptions {
  std::string label_order{};  ///< recorded in the header
  std::string fingerprint{};  ///< of the source's files; recorded in the header

  /// Called after every few hundred images, and about every 50 ms while another process writes the file. May throw: the images
  /// packed so far are kept for a later call.
  std::function<void(const PackProgress&)> progress{};

  /// Called once no other process writes the file. Returns whether it exists now and needs no packing.
  std::function<bool()> is_done{};
};

/// Throws what source.read() and the progress callback throw, and InputError if the file cannot be written, the disk has too
/// little space, or the source delivers other images than it announced.
void pack(Source& source, const std::filesystem::path& file, const PackOptions& options = {});

}  // namespace apam::data
