#include "data/label_order.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <numeric>
#include <system_error>

#include "data/file_reader.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxOrderFile = 1 << 20;
constexpr std::size_t kOrderedClasses = kImageNetClasses;

bool is_wordnet_id(std::string_view text) {
  return text.size() == 9 && text.front() == 'n' &&
         std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Removes the first word of `line`, with the spaces before it.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
  line.remove_prefix(word.size());
  return word;
}

std::string shown_word(std::string_view word) {
  std::string text(word.substr(0, 20));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

/// WordNet ids by the development kit's number - 1.
std::vector<std::string> read_ids(const char* operation, const fs::path& path) {
  const FileReader file(operation, path);
  require<InputError>(file.size() <= kMaxOrderFile, "{}: {} has {} bytes, the limit is {}", operation, path.string(),
                      file.size(), kMaxOrderFile);
  std::vector<std::uint8_t> bytes(file.size());
  file.read(0, bytes);
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string> ids(kOrderedClasses);
  std::size_t lines = 0;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    ++lines;
    require<InputError>(lines <= kOrderedClasses, "{}: {} has more than {} lines", operation, path.string(), kOrderedClasses);
    const std::string_view id = next_word(line), digits = next_word(line);
    require<InputError>(is_wordnet_id(id), "{}: {} line {} has id \"{}\", expected n and 8 digits", operation, path.string(),
                        lines, shown_word(id));
    int number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    require<InputError>(
        error == std::errc{} && end == digits.data() + digits.size() && number >= 1 && number <= kImageNetClasses,
        "{}: {} line {} has number \"{}\", expected 1 to {}", operation, path.string(), lines, shown_word(digits),
        kImageNetClasses);
    std::string& place = ids[static_cast<std::size_t>(number) - 1];
    require<InputError>(place.empty(), "{}: {} line {} gives number {} to {}, which {} has", operation, path.string(), lines,
                        number, id, place);
    place = id;
  }
  require<InputError>(lines == kOrderedClasses, "{}: {} has {} lines, expected {}", operation, path.string(), lines,
                      kOrderedClasses);
  return ids;
}

}  // namespace

std::string_view to_string(LabelOrder order) { return kLabelOrders[static_cast<std::size_t>(order)]; }

LabelOrder parse_label_order(std::string_view text) {
  for (const LabelOrder order : {LabelOrder::devkit, LabelOrder::wnid}) {
    if (text == to_string(order)) return order;
  }
  fail<InputError>("label order: '{}' is unknown, expected devkit or wnid", text);
}

ClassOrder read_class_order(const char* operation, const fs::path& map, LabelOrder order) {
  ClassOrder result{.names = {}, .labels = std::vector<std::int32_t>(kOrderedClasses)};
  std::iota(result.labels.begin(), result.labels.end(), 0);
  std::error_code ignored;
  if (!fs::exists(map, ignored)) {
    require<InputError>(order == LabelOrder::devkit,
                        "{}: label order wnid requires {}, the file data/map_clsloc.txt of the ILSVRC development kit",
                        operation, map.string());
    for (int number = 1; number <= kImageNetClasses; ++number) result.names.push_back(std::to_string(number));
    return result;
  }
  const std::vector<std::string> ids = read_ids(operation, map);
  std::vector<std::string> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  const auto repeated = std::adjacent_find(sorted.begin(), sorted.end());
  require<InputError>(repeated == sorted.end(), "{}: {} has {} twice", operation, map.string(),
                      repeated == sorted.end() ? "" : *repeated);
  if (order == LabelOrder::devkit) {
    result.names = ids;
    return result;
  }
  for (std::size_t i = 0; i < kOrderedClasses; ++i) {
    const auto place = std::lower_bound(sorted.begin(), sorted.end(), ids[i]);
    result.labels[i] = static_cast<std::int32_t>(std::distance(sorted.begin(), place));
  }
  result.names = std::move(sorted);
  return result;
}

}  // namespace apam::data
