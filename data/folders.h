// Folders of data sets: finding the one that holds the files, and listing it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace apam::data {

/// Whether there is an entry of this name. False for one that is not accessible.
bool is_present(const std::filesystem::path& path);

/// The first of `root` and its folders `below` that has an entry of a name in `entries`. All messages start with `operation`.
/// Throws InputError if there is none, or if `root` does not exist or is not a directory.
std::filesystem::path find_folder(const char* operation, const std::filesystem::path& root,
                                  std::span<const std::string_view> below, std::span<const std::string_view> entries);

enum class EntryKind : std::uint8_t { file, folder, special };

/// Calls `visit` with name and kind of each entry of `folder` in any order, except hidden ones (a name that starts with '.').
/// Links are followed. Throws InputError if the folder cannot be listed, or if a link leads nowhere or in a circle.
void list_folder(const char* operation, const std::string& folder,
                 const std::function<void(std::string_view name, EntryKind kind)>& visit);

}  // namespace apam::data
