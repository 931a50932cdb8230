// Files of a folder that are numbered: data_batch_1.bin, data_batch_2.bin, ...
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace apam::data {

struct NumberedName {
  std::string_view prefix, suffix;  ///< names are PREFIX N SUFFIX, N without leading zeros

  std::string of(int number) const;
};

/// The numbers of the files of this name in `folder`, ascending. Throws InputError if the folder cannot be listed.
std::vector<int> file_numbers(const char* operation, const std::filesystem::path& folder, NumberedName name);

/// The files of this name in `folder`, in order. Throws InputError unless they are numbered from 1 without gaps.
std::vector<std::filesystem::path> numbered_files(const char* operation, const std::filesystem::path& folder,
                                                  NumberedName name);

}  // namespace apam::data
