#include "data/sanity_check.h"

#include <fmt/format.h>

#include <algorithm>

namespace apam::data {
namespace {

constexpr std::int64_t kMaxLabels = std::int64_t{1} << 20U, kMaxCheckedImages = 32;

/// Calls visit(index) for at most `limit` indices, evenly spaced over 0 .. images-1, until it returns false.
template <class Visit>
void visit_some(std::int64_t images, std::int64_t limit, Visit&& visit) {
  const std::int64_t step = (images + limit - 1) / limit;
  for (std::int64_t i = 0; i < images && visit(i); i += step) {
  }
}

void check_labels(const Dataset& dataset, Split split, std::string_view name, std::vector<std::string>& lines) {
  const DatasetInfo& info = dataset.info();
  if (info.classes() < 2) return;
  const std::int32_t first = dataset.label(split, 0);
  bool same = true;
  visit_some(info.images(split), kMaxLabels, [&](std::int64_t i) { return same = dataset.label(split, i) == first; });
  if (!same) return;
  lines.push_back(fmt::format("{}: all {} {} images have label {}, of {} classes", info.name, info.images(split), name, first,
                              info.classes()));
}

void check_pixels(const Dataset& dataset, Split split, std::string_view name, std::vector<std::string>& lines) {
  const DatasetInfo& info = dataset.info();
  std::vector<std::uint8_t> scratch(info.shape.count());
  std::vector<std::uint8_t> first;
  std::int64_t checked = 0;
  bool same = true, flat = true;
  visit_some(info.images(split), kMaxCheckedImages, [&](std::int64_t i) {
    const auto pixels = dataset.read(split, i, scratch).pixels;
    if (checked++ == 0) first.assign(pixels.begin(), pixels.end());
    same = same && std::equal(pixels.begin(), pixels.end(), first.begin(), first.end());
    flat = flat && std::all_of(pixels.begin(), pixels.end(), [&](std::uint8_t value) { return value == first[0]; });
    return same;  // unequal images cannot all be flat with one value
  });
  if (!same) return;
  const std::string what = flat ? fmt::format("have the value {} in all pixels", first[0]) : "are the same image";
  lines.push_back(fmt::format("{}: {} {} images checked, all {}", info.name, checked, name, what));
}

}  // namespace

std::vector<std::string> sanity_warnings(const Dataset& dataset) {
  std::vector<std::string> lines;
  for (const auto& [split, name] :
       {std::pair{Split::train, "training"}, std::pair{Split::valid, "validation"}, std::pair{Split::test, "test"}}) {
    if (dataset.info().images(split) < 2) continue;
    check_labels(dataset, split, name, lines);
    check_pixels(dataset, split, name, lines);
  }
  return lines;
}

}  // namespace apam::data
