// The packed form of a folder of small or compressed files, made on first use.
//
// The packed file is FOLDER/NAME.apam if the folder is writable, else NAME-HASH.apam in the cache folder, where HASH is that of
// the folder's path. It records a fingerprint of the folder's files. If these have changed since, or the packed file is
// damaged, it is replaced. Processes that need the same file take turns: one packs, the others wait and then open the result.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "data/pack.h"
#include "data/packed_file.h"

namespace apam::data {

/// A hash of the names, sizes and times of modification of all files in `folder`, at most four levels deep, and of
/// image_mean.npy one folder above; packed and hidden files do not count. Throws InputError if a folder cannot be listed.
std::string fingerprint_of(const std::filesystem::path& folder);

struct CacheRequest {
  std::string name;              ///< stem of the packed file
  std::filesystem::path folder;  ///< that is packed
  std::filesystem::path cache;   ///< cache folder; empty: none
  bool in_folder = true;         ///< whether `folder` may receive the packed file
  std::string label_order{};     ///< recorded in the packed file
  std::function<std::unique_ptr<Source>()> open_source;
  std::function<void(const PackProgress&)> progress{};  ///< see PackOptions
};

/// Opens the packed form of `request.folder`, after packing it if necessary. Throws what pack() and open_source() throw, and
/// InputError if neither the folder nor the cache folder is writable.
std::shared_ptr<const PackedFile> open_cached(const CacheRequest& request);

}  // namespace apam::data
