// The order of ImageNet's 1000 classes.
//
// The downsampled ImageNet numbers its classes as the ILSVRC development kit does (data/map_clsloc.txt there: 1 is n02119789, a
// kit fox). Other programs, such as torchvision, sort the classes by WordNet id, as the folders of a tree would be sorted.
// apam has no list of the ids. It reads the development kit's file if that is next to the data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace apam::data {

enum class LabelOrder : std::uint8_t {
  devkit,  ///< label = number in the development kit - 1
  wnid     ///< label = rank of the WordNet id among the sorted ids
};

/// The valid texts of parse_label_order().
inline constexpr std::string_view kLabelOrders[] = {"devkit", "wnid"};

std::string_view to_string(LabelOrder order);

/// Throws InputError unless `text` is "devkit" or "wnid".
LabelOrder parse_label_order(std::string_view text);

inline constexpr int kImageNetClasses = 1000;
inline constexpr const char* kLabelMapFile = "map_clsloc.txt";

struct ClassOrder {
  std::vector<std::string> names;    ///< by label: WordNet ids, or "1" .. "1000" without a map
  std::vector<std::int32_t> labels;  ///< by the development kit's number - 1
};

/// `map`: the development kit's file, 1000 lines of id, number and name, such as "n02119789 1 kit_fox". It may be missing for
/// LabelOrder::devkit. Throws InputError with file, line, rule and both values if it is missing for wnid, or malformed: not
/// 1000 lines, an id that is not n and 8 digits, a number outside 1 to 1000, an id or a number that is repeated.
ClassOrder read_class_order(const char* operation, const std::filesystem::path& map, LabelOrder order);

}  // namespace apam::data
