#include "data/export.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <memory>
#include <system_error>
#include <utility>

#include "data/npz_writer.h"
#include "data/png_writer.h"
#include "kernels/runtime/allocating.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kFormats{"png-tree", "cifar-binary", "npz"};
constexpr std::int64_t kExportedPerReport = 256;
constexpr std::int64_t kBinaryRecords = 10'000;  // per file
constexpr std::int64_t kNpzFiles = 10;           // training files
constexpr std::size_t kBinaryClasses = 10;

/// (H, W, C) to (C, H, W).
void append_planes(std::span<const std::uint8_t> pixels, std::size_t channels, std::vector<std::uint8_t>& out) {
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = c; i < pixels.size(); i += channels) out.push_back(pixels[i]);
  }
}

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

class Exporter {
 public:
  Exporter(Source& source, fs::path folder, const ExportOptions& options)
      : source_(source), folder_(std::move(folder)), options_(options) {}

  void run() {
    if (options_.format == kFormats[0]) return write_tree();
    if (options_.format == kFormats[1]) return write_binary();
    if (options_.format == kFormats[2]) return write_npz_files();
    fail<InputError>("export: '{}' is unknown, expected one of {}", options_.format, fmt::join(kFormats, ", "));
  }

  std::vector<std::string> remarks;

 private:
  const SourceInfo& info() const { return source_.info(); }

  std::size_t part(std::string_view name) const {
    for (std::size_t i = 0; i < info().parts.size(); ++i) {
      if (info().parts[i].name == name) return i;
    }
    fail<InputError>("export: {} has no part {}", info().name, name);
  }

  /// Images of a part that are exported.
  std::int64_t count(std::size_t part) const {
    const auto& [name, images] = info().parts[part];
    const auto& wanted = name == "train" ? options_.train_images : options_.test_images;
    if (name != "train" && name != "test") return images;
    require<InputError>(!wanted || *wanted <= images, "export: {} images of {} requested, {} has {}", wanted.value_or(0), name,
                        info().name, images);
    return wanted.value_or(images);
  }

  /// Passes index, pixels and label of the exported images of a part.
  template <class Visit>
  void for_each_image(std::size_t part, Visit&& visit) {
    struct Enough {};
    const std::int64_t wanted = count(part);
    std::int64_t index = 0;
    try {
      source_.read(part, 0, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
        if (index == wanted) throw Enough{};
        visit(index++, pixels, label);
      });
    } catch (const Enough&) {
    }
    require<InputError>(index == wanted, "export: part {} of {} has {} images, expected {}", info().parts[part].name,
                        info().name, index, wanted);
  }

  void report(std::int64_t images = 1) {
    written_ += images;
    if (options_.progress && written_ / kExportedPerReport != (written_ - images) / kExportedPerReport) {
      options_.progress(written_);
    }
  }

  void check_shape() const {
    require<InputError>(info().shape == (ImageShape{32, 32, 3}), "export: {} needs images of 32x32x3, {} has {}",
                        options_.format, info().name, to_string(info().shape));
  }

  void drop_other_parts() {
    for (const SourcePart& part : info().parts) {
      if (part.name == "train" || part.name == "test") continue;
      remarks.push_back(fmt::format("part {} is left out: {} has no place for it", part.name, options_.format));
    }
  }

  // The mean of all exported training images, (H, W, C), 0 .. 255.
  std::vector<double> mean_image() {
    std::vector<std::uint64_t> sums(info().shape.count());
    const std::size_t train = part("train");
    for_each_image(train, [&](std::int64_t, std::span<const std::uint8_t> pixels, std::int32_t) {
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += pixels[i];
    });
    std::vector<double> mean;
    for (const std::uint64_t sum : sums) mean.push_back(static_cast<double>(sum) / static_cast<double>(count(train)));
    return mean;
  }

  std::vector<std::string> folder_names() const;
  void write_tree();
  void write_binary();
  void write_npz_files();
  void write_npz_part(std::size_t part, std::int64_t per_file, const std::vector<double>& mean);

  Source& source_;
  fs::path folder_;
  const ExportOptions& options_;
  std::int64_t written_ = 0;  // images
};

/// The folder of each class. Their order is that of the labels.
std::vector<std::string> Exporter::folder_names() const {
  std::vector<std::string> names = info().class_names;
  const auto plain = [](const std::string& name) {
    return !name.empty() && name.size() <= 200 && name[0] != '.' && name.find('/') == std::string::npos &&
           name.find('\0') == std::string::npos;
  };
  const bool usable = std::all_of(names.begin(), names.end(), plain);
  require<InputError>(usable, "export: the class names of {} are not all valid names of folders", info().name);
  if (std::is_sorted(names.begin(), names.end()) && std::adjacent_find(names.begin(), names.end()) == names.end()) return names;
  for (std::size_t label = 0; label < names.size(); ++label) names[label] = fmt::format("{:05}-{}", label, names[label]);
  return names;
}

void Exporter::write_tree() {
  const std::vector<std::string> names = folder_names();
  std::vector<bool> in_train(names.size(), false);
  for (std::size_t p = 0; p < info().parts.size(); ++p) {
    const std::string& name = info().parts[p].name;
    std::vector<bool> made(names.size(), false);
    for_each_image(p, [&](std::int64_t index, std::span<const std::uint8_t> pixels, std::int32_t label) {
      const auto at = static_cast<std::size_t>(label);
      const fs::path target = folder_ / name / names.at(at);
      if (!made[at]) fs::create_directories(target);
      made[at] = true;
      write_png(target / fmt::format("{:08}.png", index), pixels, info().shape);
      report();
    });
    if (name == "train") in_train = made;
  }
  const auto missing = std::count(in_train.begin(), in_train.end(), false);
  if (missing > 0) {
    remarks.push_back(fmt::format("{} of {} classes have no training images and so no folder: labels are numbered without them",
                                  missing, names.size()));
  }
  const std::vector<double> mean = mean_image();
  const ImageShape shape = info().shape;
  write_npy(folder_ / "image_mean.npy",
            {.name = {}, .descr = "<f8", .shape = {shape.height, shape.width, shape.channels}, .values = bytes_of(mean)});
}

void Exporter::write_binary() {
  check_shape();
  require<InputError>(info().class_names.size() <= kBinaryClasses, "export: {} holds at most {} classes, {} has {}",
                      options_.format, kBinaryClasses, info().name, info().class_names.size());
  drop_other_parts();
  std::vector<std::uint8_t> record;
  std::unique_ptr<AtomicFile> file;
  for (const bool training : {true, false}) {
    for_each_image(part(training ? "train" : "test"), [&](std::int64_t index, auto pixels, std::int32_t label) {
      if (training ? index % kBinaryRecords == 0 : index == 0) {
        if (file) file->commit();
        const std::string name = training ? fmt::format("data_batch_{}.bin", index / kBinaryRecords + 1) : "test_batch.bin";
        file = std::make_unique<AtomicFile>(folder_ / name);
      }
      record.assign(1, static_cast<std::uint8_t>(label));
      append_planes(pixels, 3, record);
      file->write(bytes_of(record));
      report();
    });
  }
  if (file) file->commit();
}

void Exporter::write_npz_files() {
  check_shape();
  drop_other_parts();
  const std::size_t train = part("train"), test = part("test");
  const std::vector<double> mean = mean_image();
  std::vector<double> planes;
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t i = c; i < mean.size(); i += 3) planes.push_back(mean[i]);
  }
  write_npz_part(train, std::max<std::int64_t>(1, (count(train) + kNpzFiles - 1) / kNpzFiles), planes);
  write_npz_part(test, std::max<std::int64_t>(1, count(test)), {});
}

/// Files of `per_file` images. `mean`: empty for test images.
void Exporter::write_npz_part(std::size_t part, std::int64_t per_file, const std::vector<double>& mean) {
  const auto values = static_cast<std::int64_t>(info().shape.count());
  std::vector<std::uint8_t> data;  // (N, C, H, W)
  std::vector<std::int64_t> labels;
  allocating(
      [&] {
        data.reserve(static_cast<std::size_t>(std::min(per_file, count(part)) * values));
        return true;
      },
      "export: not enough memory for {} images of a file, {} bytes", per_file, per_file * values);
  int files = 0;
  const auto write = [&] {
    const auto images = static_cast<std::int64_t>(labels.size());
    std::vector<NpyArray> arrays{{.name = "data", .descr = "|u1", .shape = {images, values}, .values = bytes_of(data)},
                                 {.name = "labels", .descr = "<i8", .shape = {images}, .values = bytes_of(labels)}};
    if (!mean.empty()) arrays.push_back({.name = "mean", .descr = "<f8", .shape = {values}, .values = bytes_of(mean)});
    const std::string name = mean.empty() ? "val_data.npz" : fmt::format("train_data_batch_{}.npz", ++files);
    write_npz(folder_ / name, arrays);
    data.clear();
    labels.clear();
  };
  for_each_image(part, [&](std::int64_t, std::span<const std::uint8_t> pixels, std::int32_t label) {
    append_planes(pixels, 3, data);
    labels.push_back(std::int64_t{label} + 1);
    report();
    if (static_cast<std::int64_t>(labels.size()) == per_file) write();
  });
  if (!labels.empty()) write();
}

/// A folder under a temporary name; removed unless it was kept.
class PartialFolder {
 public:
  explicit PartialFolder(const fs::path& target) : target_(target), path_(target) {
    if (!path_.has_filename()) path_ = path_.parent_path();  // "DIR/"
    target_ = path_;
    path_ += ".partial";
    std::error_code error;
    const bool taken = fs::exists(target_, error) && !(fs::is_directory(target_, error) && fs::is_empty(target_, error));
    require<InputError>(!taken, "export: {} exists already; name a new or empty folder", target_.string());
    require<InputError>(!fs::exists(path_, error), "export: {} exists, from an interrupted export; remove it first",
                        path_.string());
    fs::create_directories(path_, error);
    require<InputError>(!error, "export: {} cannot be made: {}", path_.string(), error.message());
  }
  ~PartialFolder() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const fs::path& path() const { return path_; }

  void keep() {
    std::error_code error;
    fs::rename(path_, target_, error);  // replaces an empty folder
    require<InputError>(!error, "export: {} cannot be renamed to {}: {}", path_.string(), target_.string(), error.message());
    kept_ = true;
  }

 private:
  fs::path target_, path_;
  bool kept_ = false;
};

}  // namespace

std::span<const std::string_view> export_formats() { return kFormats; }

std::vector<std::string> export_images(Source& source, const fs::path& folder, const ExportOptions& options) {
  PartialFolder partial(folder);
  Exporter exporter(source, partial.path(), options);
  exporter.run();
  partial.keep();
  return exporter.remarks;
}

}  // namespace apam::data
