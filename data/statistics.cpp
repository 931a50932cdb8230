#include "data/statistics.h"

#include <algorithm>
#include <cmath>

#include "data/dataset.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/sha256.h"

namespace apam::data {
namespace {

constexpr std::int64_t kReadPerReport = 256;

/// Sums over the values of one channel; of bytes, so 2^48 of them fit.
struct Sums {
  std::uint64_t values = 0, squares = 0;
};

PartStatistics statistics_of_part(Source& source, std::size_t index, const std::function<void(std::int64_t)>& progress) {
  const SourceInfo& info = source.info();
  const SourcePart& part = info.parts[index];
  const auto channels = static_cast<std::size_t>(info.shape.channels);
  PartStatistics result{.name = part.name};
  result.images_per_class.assign(info.class_names.size(), 0);
  std::vector<Sums> sums(channels);
  Sha256 labels, pixels;
  source.read(index, 0, [&](std::span<const std::uint8_t> image, std::int32_t label) {
    const bool valid = label >= 0 && static_cast<std::size_t>(label) < info.class_names.size();
    require<InputError>(valid, "{}: image {} of {} has label {}, expected 0 to {}", info.name, result.images, part.name, label,
                        info.class_names.size() - 1);
    ++result.images_per_class[static_cast<std::size_t>(label)];
    for (std::size_t i = 0; i < image.size(); ++i) {
      sums[i % channels].values += image[i];
      sums[i % channels].squares += std::uint64_t{image[i]} * image[i];
    }
    labels.add(std::as_bytes(std::span(&label, 1)));
    pixels.add(std::as_bytes(image));
    if (++result.images % kReadPerReport == 0 && progress) progress(kReadPerReport);
  });
  require<InputError>(result.images == part.images, "{}: part {} has {} images, expected {}", info.name, part.name,
                      result.images, part.images);
  if (progress) progress(result.images % kReadPerReport);
  const double count = static_cast<double>(result.images) * static_cast<double>(info.shape.count() / channels);
  for (const Sums& sum : sums) {
    const double mean = static_cast<double>(sum.values) / count, squares = static_cast<double>(sum.squares) / count;
    result.mean.push_back(mean / 255);
    result.deviation.push_back(std::sqrt(std::max(0.0, squares - mean * mean)) / 255);
  }
  result.labels_sha256 = labels.hex();
  result.pixels_sha256 = pixels.hex();
  return result;
}

}  // namespace

std::vector<PartStatistics> statistics_of(Source& source, const std::function<void(std::int64_t)>& progress) {
  std::int64_t done = 0;
  const auto add = [&](std::int64_t images) {
    done += images;
    if (progress) progress(done);
  };
  std::vector<PartStatistics> parts;
  for (std::size_t part = 0; part < source.info().parts.size(); ++part) parts.push_back(statistics_of_part(source, part, add));
  return parts;
}

std::vector<std::string> differences_from_official(std::string_view name, const std::vector<PartStatistics>& parts) {
  std::vector<std::string> lines;
  for (const OfficialPart& official : official_parts(name)) {
    const auto part = std::find_if(parts.begin(), parts.end(), [&](const auto& one) { return one.name == official.name; });
    const std::int64_t images = part == parts.end() ? 0 : part->images;
    if (images != official.images) {
      lines.push_back(fmt::format("{} has {} images, the full set has {}", official.name, images, official.images));
    } else if (official.images_per_class > 0) {
      const auto& counts = part->images_per_class;
      const auto other =
          std::find_if(counts.begin(), counts.end(), [&](auto count) { return count != official.images_per_class; });
      if (other == counts.end()) continue;
      lines.push_back(fmt::format("{} has {} images of class {}, the full set has {}", official.name, *other,
                                  other - counts.begin(), official.images_per_class));
    }
  }
  return lines;
}

}  // namespace apam::data
