#include "data/pack_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>
#include <vector>

#include "kernels/runtime/error.h"
#include "kernels/runtime/fnv1a.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 4;
constexpr std::string_view kSuffix = ".apam";
constexpr const char* kMeanImageFile = "image_mean.npy";  // may be one folder above

bool counts(std::string_view name) {
  return !name.starts_with('.') && !name.ends_with(kSuffix) && name.find(".apam.partial") == std::string_view::npos;
}

std::uint64_t hash_of_file(const fs::path& path, const fs::path& folder) {
  struct stat status {};
  const bool examined = ::stat(path.c_str(), &status) == 0;
  Fnv1a hash;
  hash.add_text(path.lexically_relative(folder).native());
  hash.add_bytes(examined ? static_cast<std::uint64_t>(status.st_size) : 0);
  hash.add_bytes(examined ? static_cast<std::uint64_t>(status.st_mtim.tv_sec) : 0);
  hash.add_bytes(examined ? static_cast<std::uint64_t>(status.st_mtim.tv_nsec) : 0);
  return hash.value();
}

bool is_writable(const fs::path& folder) { return ::access(folder.c_str(), W_OK | X_OK) == 0; }

/// Where the packed file may be, the preferred place first.
std::vector<fs::path> places(const CacheRequest& request) {
  const std::string stem = request.label_order.empty() ? request.name : request.name + '-' + request.label_order;
  std::vector<fs::path> files;
  if (request.in_folder) files.push_back(request.folder / (stem + std::string(kSuffix)));
  if (!request.cache.empty()) {
    std::error_code error;
    const fs::path whole = fs::canonical(request.folder, error);
    Fnv1a hash;
    hash.add_text(error ? request.folder.native() : whole.native());
    files.push_back(request.cache / fmt::format("{}-{:016x}{}", stem, hash.value(), kSuffix));
  }
  return files;
}

fs::path writable_place(const CacheRequest& request, const std::vector<fs::path>& files) {
  for (const fs::path& file : files) {
    std::error_code ignored;  // then it is not writable
    if (file.parent_path() != request.folder) fs::create_directories(file.parent_path(), ignored);
    if (is_writable(file.parent_path())) return file;
  }
  fail<InputError>(
      "{}: {} cannot be packed: neither it nor the cache folder '{}' is writable; apam data pack --out FILE makes a "
      "file for --data-root FILE",
      request.name, request.folder.string(), request.cache.string());
}

/// Nothing if there is no packed file, or it is damaged or out of date.
std::shared_ptr<const PackedFile> open_valid(const fs::path& file, const std::string& fingerprint) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return nullptr;
  try {
    auto packed = std::make_shared<const PackedFile>(file);
    return packed->header().fingerprint == fingerprint ? packed : nullptr;
  } catch (const InputError&) {
    return nullptr;
  }
}

}  // namespace

std::string fingerprint_of(const fs::path& folder) {
  std::uint64_t sum = 0, files = 0;  // a sum does not depend on the order of the files
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::follow_directory_symlink, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    const bool is_folder = entry->is_directory(error);
    const bool counted = counts(entry->path().filename().native());
    if (is_folder && (!counted || entry.depth() + 1 >= kMaxDepth)) entry.disable_recursion_pending();
    if (is_folder || !counted) continue;
    sum += hash_of_file(entry->path(), folder);
    ++files;
  }
  require<InputError>(!error, "data: {} cannot be listed: {}", folder.string(), error.message());
  const fs::path mean = folder / ".." / kMeanImageFile;
  if (fs::exists(mean, error)) sum += hash_of_file(mean, folder);
  return fmt::format("{}-{:016x}", files, sum);
}

std::shared_ptr<const PackedFile> open_cached(const CacheRequest& request) {
  const std::string fingerprint = fingerprint_of(request.folder);
  const std::vector<fs::path> files = places(request);
  for (const fs::path& file : files) {
    if (auto packed = open_valid(file, fingerprint)) return packed;
  }
  const fs::path file = writable_place(request, files);
  const auto source = request.open_source();
  std::shared_ptr<const PackedFile> packed;
  pack(*source, file,
       {.label_order = request.label_order, .fingerprint = fingerprint, .progress = request.progress, .is_done = [&] {
          packed = open_valid(file, fingerprint);
          return packed != nullptr;
        }});
  return packed ? packed : std::make_shared<const PackedFile>(file);
}

}  // namespace apam::data
