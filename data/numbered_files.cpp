#include "data/numbered_files.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

/// The N of PREFIX N SUFFIX.
std::optional<int> number_of(std::string_view file, NumberedName name) {
  if (!file.starts_with(name.prefix) || !file.ends_with(name.suffix) ||
      file.size() <= name.prefix.size() + name.suffix.size()) {
    return {};
  }
  const std::string_view digits = file.substr(name.prefix.size(), file.size() - name.prefix.size() - name.suffix.size());
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || digits != std::to_string(number)) return {};
  return number;
}

}  // namespace

std::string NumberedName::of(int number) const { return fmt::format("{}{}{}", prefix, number, suffix); }

std::vector<int> file_numbers(const char* operation, const fs::path& folder, NumberedName name) {
  std::vector<int> numbers;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto number = number_of(entry->path().filename().string(), name)) numbers.push_back(*number);
  }
  require<InputError>(!error, "{}: {} cannot be listed: {}", operation, folder.string(), error.message());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::vector<fs::path> numbered_files(const char* operation, const fs::path& folder, NumberedName name) {
  std::vector<fs::path> paths;
  for (const int number : file_numbers(operation, folder, name)) {
    const auto expected = static_cast<int>(paths.size()) + 1;
    require<InputError>(number == expected, "{}: {} has {} but no {}, expected numbers from 1 without gaps", operation,
                        folder.string(), name.of(number), name.of(expected));
    paths.push_back(folder / name.of(number));
  }
  require<InputError>(!paths.empty(), "{}: {} has no {}", operation, folder.string(), name.of(1));
  return paths;
}

}  // namespace apam::data
