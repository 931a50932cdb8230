#include "data/packed_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "kernels/runtime/allocating.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/sha256.h"

namespace apam::data {
namespace {

constexpr std::size_t kReadBytes = 1U << 20U;

template <class T>
std::span<std::uint8_t> bytes_of(std::vector<T>& values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size() * sizeof(T)};
}

std::string hash_of(std::span<const std::uint8_t> bytes) {
  Sha256 hash;
  hash.add(std::as_bytes(bytes));
  return hash.hex();
}

void check_hash(const FileReader& file, const std::string& what, const std::string& actual, const std::string& expected) {
  require<InputError>(actual == expected, "packed: {}: the SHA-256 of {} is {}, expected {}", file.path().string(), what,
                      actual, expected);
}

PackedHeader read_header(const FileReader& file) {
  return decode(file.path(), file.size(),
                [&](std::uint64_t offset, std::span<std::uint8_t> bytes) { file.read(offset, bytes); });
}

}  // namespace

PackedFile::PackedFile(const std::filesystem::path& path)
    : file_("packed", path), header_(read_header(file_)), normalisation_(header_.normalisation) {
  for (const PackedPart& part : header_.parts) labels_.push_back(read_labels(part));
  if (header_.mean) read_mean();
}

std::vector<std::int32_t> PackedFile::read_labels(const PackedPart& part) const {
  auto labels = allocating([&] { return std::vector<std::int32_t>(static_cast<std::size_t>(part.images)); },
                           "packed: not enough memory for the labels of {} images, {} bytes", part.images, part.labels.bytes);
  file_.read(part.labels.offset, bytes_of(labels));
  check_hash(file_, "the labels of " + part.name, hash_of(bytes_of(labels)), part.labels.sha256);
  const auto classes = static_cast<std::int32_t>(header_.class_names.size());
  const auto invalid =
      std::find_if(labels.begin(), labels.end(), [&](std::int32_t label) { return label < 0 || label >= classes; });
  require<InputError>(invalid == labels.end(), "packed: {}: image {} of {} has label {}, expected 0 to {}",
                      file_.path().string(), std::distance(labels.begin(), invalid), part.name,
                      invalid == labels.end() ? 0 : *invalid, classes - 1);
  return labels;
}

void PackedFile::read_mean() {
  std::vector<float> mean(header_.shape.count());
  file_.read(header_.mean->offset, bytes_of(mean));
  check_hash(file_, "the mean image", hash_of(bytes_of(mean)), header_.mean->sha256);
  const bool finite = std::all_of(mean.begin(), mean.end(), [](float value) { return std::isfinite(value); });
  require<InputError>(finite, "packed: {}: the mean image has a value that is not finite", file_.path().string());
  normalisation_.subtract = std::move(mean);
}

std::size_t PackedFile::part(std::string_view name) const {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < header_.parts.size(); ++i) {
    if (header_.parts[i].name == name) return i;
    names.emplace_back(header_.parts[i].name);
  }
  fail<InputError>("packed: {} has no part {}, it has {}", file_.path().string(), name, fmt::join(names, ", "));
}

bool PackedFile::has_part(std::string_view name) const {
  return std::any_of(header_.parts.begin(), header_.parts.end(), [&](const PackedPart& part) { return part.name == name; });
}

void PackedFile::read(std::size_t part, std::int64_t index, std::span<std::uint8_t> pixels) const {
  const std::size_t count = header_.shape.count();
  file_.read(header_.parts[part].pixels.offset + static_cast<std::uint64_t>(index) * count, pixels.first(count));
}

void PackedFile::verify_pixels(const std::function<void(std::uint64_t)>& progress) const {
  std::vector<std::uint8_t> chunk(kReadBytes);
  std::uint64_t done = 0;
  for (const PackedPart& part : header_.parts) {
    check_gap(part.labels.end(), part.pixels.offset);
    Sha256 hash;
    for (std::uint64_t at = part.pixels.offset; at < part.pixels.end();) {
      const auto bytes = std::span(chunk).first(std::min<std::uint64_t>(kReadBytes, part.pixels.end() - at));
      file_.read(at, bytes);
      hash.add(std::as_bytes(bytes));
      at += bytes.size();
      done += bytes.size();
      if (progress) progress(done);
    }
    check_hash(file_, "the pixels of " + part.name, hash.hex(), part.pixels.sha256);
    const bool last = &part == &header_.parts.back();
    const std::uint64_t next = last ? header_.mean ? header_.mean->offset : part.pixels.end() : (&part + 1)->labels.offset;
    check_gap(part.pixels.end(), next);
  }
}

/// Gaps are shorter than kPackedAlignment.
void PackedFile::check_gap(std::uint64_t begin, std::uint64_t end) const {
  std::vector<std::uint8_t> bytes(end - begin);
  file_.read(begin, bytes);
  const bool zero = std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
  require<InputError>(zero, "packed: {}: the bytes from {} to {} are between two sections, but not zero", file_.path().string(),
                      begin, end);
}

namespace {

class PackedDataset final : public Dataset {
 public:
  using Parts = std::vector<std::size_t>;

  PackedDataset(DatasetInfo info, std::shared_ptr<const PackedFile> file, std::array<Parts, 3> parts)
      : Dataset(std::move(info)), file_(std::move(file)), parts_(std::move(parts)) {}

  Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const override {
    const Place place = find(split, index);
    const auto pixels = scratch.first(info().shape.count());
    file_->read(place.part, place.index, pixels);
    return {pixels, label(place)};
  }

  std::int32_t label(Split split, std::int64_t index) const override { return label(find(split, index)); }

 private:
  struct Place {
    std::size_t part;
    std::int64_t index;
  };

  Place find(Split split, std::int64_t index) const {
    for (const std::size_t part : parts_.at(static_cast<std::size_t>(split))) {
      const std::int64_t images = file_->header().parts[part].images;
      if (index < images) return {part, index};
      index -= images;
    }
    fail<ShapeError>("packed: image {} after the last one requested", index);
  }

  std::int32_t label(Place place) const { return file_->labels(place.part)[static_cast<std::size_t>(place.index)]; }

  std::shared_ptr<const PackedFile> file_;
  std::array<Parts, 3> parts_;  // by Split
};

class PackedSource final : public Source {
 public:
  explicit PackedSource(std::shared_ptr<const PackedFile> file) : file_(std::move(file)) {
    const PackedHeader& header = file_->header();
    info_ = {.name = header.name,
             .location = file_->path().string(),
             .shape = header.shape,
             .class_names = header.class_names,
             .parts = {},
             .normalisation = file_->normalisation()};
    for (const PackedPart& part : header.parts) info_.parts.push_back({part.name, part.images});
  }

  void read(std::size_t part, std::int64_t first, const Consumer& consume) override {
    const std::size_t count = info_.shape.count();
    std::vector<std::uint8_t> pixels(count);
    const auto labels = file_->labels(part);
    for (std::int64_t i = first; i < info_.parts[part].images; ++i) {
      file_->read(part, i, pixels);
      consume(pixels, labels[static_cast<std::size_t>(i)]);
    }
  }

  std::vector<std::string> notes() const override { return file_->header().notes; }

 private:
  std::shared_ptr<const PackedFile> file_;
};

}  // namespace

std::shared_ptr<const Dataset> packed_dataset(std::shared_ptr<const PackedFile> file, const std::vector<std::string>& train) {
  const PackedHeader& header = file->header();
  std::array<PackedDataset::Parts, 3> parts;
  const auto add = [&](Split split, const std::string& name, std::int64_t& images) {
    const std::size_t part = file->part(name);
    parts.at(static_cast<std::size_t>(split)).push_back(part);
    images += header.parts[part].images;
  };
  DatasetInfo info{.name = header.name,
                   .source = file->path().string(),
                   .shape = header.shape,
                   .class_names = header.class_names,
                   .normalisation = file->normalisation(),
                   .content_sha256 = content_sha256(header),
                   .label_order = header.label_order};
  for (const std::string& name : train) add(Split::train, name, info.train_images);
  const bool joined = std::find(train.begin(), train.end(), "valid") != train.end();
  if (file->has_part("valid") && !joined) add(Split::valid, "valid", info.valid_images);
  add(Split::test, "test", info.test_images);
  return std::make_shared<PackedDataset>(std::move(info), std::move(file), std::move(parts));
}

std::unique_ptr<Source> packed_source(std::shared_ptr<const PackedFile> file) {
  return std::make_unique<PackedSource>(std::move(file));
}

}  // namespace apam::data
