#include "data/folders.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

EntryKind kind_of(mode_t mode) {
  if (S_ISREG(mode)) return EntryKind::file;
  return S_ISDIR(mode) ? EntryKind::folder : EntryKind::special;
}

}  // namespace

bool is_present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

fs::path find_folder(const char* operation, const fs::path& root, std::span<const std::string_view> below,
                     std::span<const std::string_view> entries) {
  require<InputError>(is_present(root), "{}: {} does not exist", operation, root.string());
  std::error_code ignored;
  require<InputError>(fs::is_directory(root, ignored), "{}: {} is not a directory", operation, root.string());
  const auto has_entry = [&](const fs::path& folder) {
    for (const std::string_view name : entries) {
      if (is_present(folder / name)) return true;
    }
    return false;
  };
  if (has_entry(root)) return root;
  for (const std::string_view name : below) {
    if (has_entry(root / name)) return root / name;
  }
  fail<InputError>("{}: neither {} nor its folders {} have {}", operation, root.string(), fmt::join(below, " and "),
                   fmt::join(entries, " or "));
}

void list_folder(const char* operation, const std::string& folder,
                 const std::function<void(std::string_view name, EntryKind kind)>& visit) {
  const std::unique_ptr<DIR, CloseFolder> entries(::opendir(folder.c_str()));
  int reason = errno;
  require<InputError>(entries != nullptr, "{}: {} cannot be listed: {}", operation, folder, reason_of(reason));
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(entries.get());
    reason = errno;
    require<InputError>(entry != nullptr || reason == 0, "{}: {} cannot be listed: {}", operation, folder, reason_of(reason));
    if (entry == nullptr) return;
    if (entry->d_name[0] == '.') continue;
    // The type is part of the entry on most file systems, which saves a system call per file.
    EntryKind kind = EntryKind::special;
    if (entry->d_type == DT_REG) {
      kind = EntryKind::file;
    } else if (entry->d_type == DT_DIR) {
      kind = EntryKind::folder;
    } else if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) {
      struct stat status {};
      const bool examined = ::fstatat(::dirfd(entries.get()), entry->d_name, &status, 0) == 0;
      reason = errno;
      require<InputError>(examined, "{}: {}/{} cannot be examined: {}", operation, folder, entry->d_name, reason_of(reason));
      kind = kind_of(status.st_mode);
    }
    visit(entry->d_name, kind);
  }
}

}  // namespace apam::data
