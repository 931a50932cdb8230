#include "data/cifar10.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include "data/bundled_sample.h"
#include "data/file_reader.h"
#include "data/numbered_files.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCifar10 = "cifar10";
constexpr ImageShape kCifar10Shape{32, 32, 3};
constexpr std::size_t kCifar10Plane = 32 * 32;
constexpr std::size_t kRecord = 1 + 3 * kCifar10Plane;  // label, then (C, H, W)
constexpr std::array kCifar10Classes = {"airplane", "automobile", "bird",  "cat",  "deer",
                                        "dog",      "frog",       "horse", "ship", "truck"};

constexpr NumberedName kTrainingName{.prefix = "data_batch_", .suffix = ".bin"};
constexpr const char* kCifar10TestFile = "test_batch.bin";

/// The records of a split: the concatenation of several files. Labels are in memory; pixels are read on demand.
class Records {
 public:
  /// Appends the records of a file. Checks its size and labels.
  void append(const fs::path& path) {
    FileReader file(kCifar10, path);
    require<InputError>(file.size() % kRecord == 0, "{}: {} has {} bytes, expected a multiple of {}", kCifar10, path.string(),
                        file.size(), kRecord);
    const std::size_t first = labels_.size(), count = file.size() / kRecord;
    std::vector<std::uint8_t> chunk(std::min(count, kChunk) * kRecord);
    for (std::size_t record = 0; record < count; ++record) {
      const std::size_t place = record % kChunk;
      if (place == 0) file.read(record * kRecord, std::span(chunk).first(std::min(count - record, kChunk) * kRecord));
      const std::uint8_t label = chunk[place * kRecord];
      require<InputError>(label < kCifar10Classes.size(), "{}: {} record {} has label {}, expected 0 to {}", kCifar10,
                          path.string(), record, label, kCifar10Classes.size() - 1);
      labels_.push_back(label);
    }
    files_.push_back({std::move(file), first});
  }

  std::int64_t count() const { return static_cast<std::int64_t>(labels_.size()); }
  std::int32_t label(std::int64_t index) const { return labels_[static_cast<std::size_t>(index)]; }

  /// The pixels of a record, (C, H, W).
  void read(std::int64_t index, std::span<std::uint8_t, 3 * kCifar10Plane> pixels) const {
    const auto record = static_cast<std::size_t>(index);
    const auto next =
        std::upper_bound(files_.begin(), files_.end(), record, [](std::size_t r, const File& file) { return r < file.first; });
    const File& file = *std::prev(next);
    file.reader.read((record - file.first) * kRecord + 1, pixels);
  }

 private:
  struct File {
    FileReader reader;
    std::size_t first;  // index in the split of its first record
  };
  static constexpr std::size_t kChunk = 256;  // records read at once by append()

  std::vector<File> files_;
  std::vector<std::uint8_t> labels_;
};

class Cifar10 final : public Dataset {
 public:
  Cifar10(DatasetInfo info, Records train, Records test)
      : Dataset(std::move(info)), train_(std::move(train)), test_(std::move(test)) {}

  Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const override {
    std::array<std::uint8_t, 3 * kCifar10Plane> planes;  // (C, H, W)
    records(split).read(index, planes);
    for (std::size_t i = 0; i < kCifar10Plane; ++i) {
      scratch[3 * i] = planes[i];
      scratch[3 * i + 1] = planes[kCifar10Plane + i];
      scratch[3 * i + 2] = planes[2 * kCifar10Plane + i];
    }
    return {scratch.first(3 * kCifar10Plane), label(split, index)};
  }

  std::int32_t label(Split split, std::int64_t index) const override { return records(split).label(index); }

 private:
  const Records& records(Split split) const { return split == Split::train ? train_ : test_; }

  Records train_, test_;
};

bool has_files(const fs::path& folder) {
  std::error_code ignored;  // an inaccessible folder has no files
  return fs::is_directory(folder, ignored) &&
         (fs::exists(folder / kCifar10TestFile, ignored) || !file_numbers(kCifar10, folder, kTrainingName).empty());
}

std::array<fs::path, 3> folders_of(const fs::path& root) { return {root, root / kCifar10, root / "cifar-10-batches-bin"}; }

fs::path find_cifar10_folder(const fs::path& root) {
  std::error_code ignored;
  require<InputError>(fs::exists(root, ignored), "{}: {} does not exist", kCifar10, root.string());
  require<InputError>(fs::is_directory(root, ignored), "{}: {} is not a directory", kCifar10, root.string());
  for (const fs::path& folder : folders_of(root)) {
    if (has_files(folder)) return folder;
  }
  fail<InputError>("{}: neither {} nor its folders {} and cifar-10-batches-bin have {} or {}", kCifar10, root.string(),
                   kCifar10, kTrainingName.of(1), kCifar10TestFile);
}

}  // namespace

bool has_cifar10_files(const fs::path& root) {
  const auto folders = folders_of(root);
  return std::any_of(folders.begin(), folders.end(), has_files);
}

std::vector<std::string> cifar10_classes() { return {kCifar10Classes.begin(), kCifar10Classes.end()}; }

Normalisation cifar10_normalisation() {
  return {.subtract = {0.4914F, 0.4822F, 0.4465F}, .divide = {0.2023F, 0.1994F, 0.2010F}};
}

std::shared_ptr<const Dataset> open_cifar10(const fs::path& root) {
  const fs::path folder = find_cifar10_folder(root.empty() ? bundled_sample() : root);
  Records train, test;
  for (const fs::path& path : numbered_files(kCifar10, folder, kTrainingName)) train.append(path);
  test.append(folder / kCifar10TestFile);

  DatasetInfo info{.name = kCifar10,
                   .source = root.empty() ? fmt::format("the bundled sample in {}", folder.string()) : folder.string(),
                   .shape = kCifar10Shape,
                   .train_images = train.count(),
                   .test_images = test.count(),
                   .class_names = cifar10_classes(),
                   .normalisation = cifar10_normalisation()};
  return std::make_shared<Cifar10>(std::move(info), std::move(train), std::move(test));
}

}  // namespace apam::data
