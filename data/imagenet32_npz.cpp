#include "data/imagenet32_npz.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "data/folders.h"
#include "data/npy.h"
#include "data/numbered_files.h"
#include "data/zip_archive.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImageNet32 = "imagenet32";
constexpr ImageShape kImageNet32Shape{32, 32, 3};
constexpr std::size_t kImageNet32Plane = 32 * 32;
constexpr std::size_t kImage = 3 * kImageNet32Plane;
constexpr std::size_t kImagesPerRead = 64;
constexpr NumberedName kTrainName{.prefix = "train_data_batch_", .suffix = ".npz"};
constexpr NumberedName kTrainPickle{.prefix = "train_data_batch_", .suffix = ""};
constexpr const char* kImageNet32TestFile = "val_data.npz";
constexpr const char* kTestPickle = "val_data";

/// (C, H, W) -> (H, W, C)
template <class T>
void interleave(const T* planes, T* pixels) {
  for (std::size_t i = 0; i < kImageNet32Plane; ++i) {
    for (std::size_t c = 0; c < 3; ++c) pixels[3 * i + c] = planes[c * kImageNet32Plane + i];
  }
}

/// `path` as an argument of a shell.
std::string quoted(const fs::path& path) {
  std::string text = "'";
  for (const char c : path.string()) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

/// The content of a member of an npz file, after its header.
struct Member {
  NpyHeader header;
  ZipReader reader;
  std::string where;  // for messages
};

Member open_member(const ZipArchive& archive, const char* name) {
  const ZipEntry* entry = archive.find(fmt::format("{}.npy", name));
  if (entry == nullptr) {
    std::vector<std::string_view> names;
    for (const ZipEntry& other : archive.entries()) names.push_back(other.name);
    if (names.empty()) names.push_back("no entries");
    names.resize(std::min<std::size_t>(names.size(), 8));
    fail<InputError>("{}: no {}.npy, the archive has {}", archive.where(), name, fmt::join(names, ", "));
  }
  ZipReader reader(archive, *entry);
  std::string where = fmt::format("{}: {}", archive.where(), entry->name);
  NpyHeader header = read_npy_header(where, entry->size, [&](std::span<std::uint8_t> bytes) { reader.read(bytes); });
  return {.header = std::move(header), .reader = std::move(reader), .where = std::move(where)};
}

/// One of the files.
class NpzBatch {
 public:
  explicit NpzBatch(const fs::path& path) : archive_(kImageNet32, path) {
    const Member data = open_member(archive_, "data");
    const std::vector<std::int64_t>& shape = data.header.shape;
    require<InputError>(data.header.type == NpyType::uint8 && shape.size() == 2 && shape[1] == std::int64_t{kImage},
                        "{}: {}, expected uint8 (N, {})", data.where, to_string(data.header), kImage);
    require<InputError>(shape[0] > 0, "{}: no images", data.where);
    read_labels(static_cast<std::uint64_t>(shape[0]));
  }

  std::int64_t images() const { return static_cast<std::int64_t>(labels_.size()); }
  const ZipArchive& archive() const { return archive_; }

  /// The member mean, (C, H, W).
  std::vector<double> read_mean() const {
    Member mean = open_member(archive_, "mean");
    const bool real = mean.header.type == NpyType::float64 || mean.header.type == NpyType::float32;
    require<InputError>(real && mean.header.shape == std::vector<std::int64_t>{kImage}, "{}: {}, expected float64 ({},)",
                        mean.where, to_string(mean.header), kImage);
    Npy array{.header = mean.header, .values = std::vector<std::uint8_t>(mean.reader.left())};
    mean.reader.read(array.values);
    std::vector<double> values;
    for (std::size_t i = 0; i < kImage; ++i) {
      values.push_back(array.number(i));
      require<InputError>(values[i] >= 0 && values[i] <= 255, "{}: value {} is {}, expected 0 to 255", mean.where, i,
                          values[i]);
    }
    return values;
  }

  /// Passes the images from `first` to `consume`.
  void read(std::int64_t first, const ClassOrder& classes, const Source::Consumer& consume) const {
    ZipReader reader = open_member(archive_, "data").reader;
    reader.skip(static_cast<std::uint64_t>(first) * kImage);
    std::vector<std::uint8_t> planes(kImagesPerRead * kImage);
    std::array<std::uint8_t, kImage> pixels;
    for (auto image = static_cast<std::size_t>(first); image < labels_.size();) {
      const std::size_t count = std::min(kImagesPerRead, labels_.size() - image);
      reader.read(std::span(planes).first(count * kImage));
      for (std::size_t i = 0; i < count; ++i, ++image) {
        interleave(&planes[i * kImage], pixels.data());
        consume(pixels, classes.labels[labels_[image]]);
      }
    }
  }

 private:
  void read_labels(std::uint64_t images) {
    Member labels = open_member(archive_, "labels");
    const NpyType type = labels.header.type;
    require<InputError>((type == NpyType::int64 || type == NpyType::int32) && labels.header.shape.size() == 1,
                        "{}: {}, expected int64 (N,)", labels.where, to_string(labels.header));
    require<InputError>(labels.header.count() == images, "{}: {} labels, data.npy has {} images", labels.where,
                        labels.header.count(), images);
    const std::size_t bytes = size_of(type);
    std::vector<std::uint8_t> values(std::min<std::uint64_t>(images, 4096) * bytes);
    while (labels.reader.left() > 0) {
      values.resize(std::min<std::uint64_t>(values.size(), labels.reader.left()));
      labels.reader.read(values);
      for (std::size_t at = 0; at < values.size(); at += bytes) {
        const std::int64_t label = npy_integer(type, &values[at]);
        require<InputError>(label >= 1 && label <= kImageNetClasses, "{}: label {} is {}, expected 1 to {}", labels.where,
                            labels_.size(), label, kImageNetClasses);
        labels_.push_back(static_cast<std::uint16_t>(label - 1));
      }
    }
  }

  ZipArchive archive_;
  std::vector<std::uint16_t> labels_;  // the development kit's number - 1
};

/// The folder of these files.
struct Place {
  fs::path train, test;
};

std::string command(const fs::path& folder) { return fmt::format("python3 scripts/convert_pickle.py {}", quoted(folder)); }

Place find_files(const fs::path& root) {
  std::error_code ignored;
  require<InputError>(is_present(root), "{}: {} does not exist", kImageNet32, root.string());
  require<InputError>(fs::is_directory(root, ignored), "{}: {} is not a directory", kImageNet32, root.string());
  std::vector<fs::path> folders;
  for (const char* below : {"", kImageNet32, "Imagenet32_train_npz", "Imagenet32_val_npz"}) {
    const fs::path folder = *below == '\0' ? root : root / below;
    if (fs::is_directory(folder, ignored)) folders.push_back(folder);
  }
  const auto first = [&](const auto& has) {
    const auto found = std::find_if(folders.begin(), folders.end(), has);
    return found == folders.end() ? std::optional<fs::path>() : *found;
  };
  const auto train = first([](const fs::path& f) { return !file_numbers(kImageNet32, f, kTrainName).empty(); });
  const auto test = first([](const fs::path& f) { return is_present(f / kImageNet32TestFile); });
  if (train && test) return {.train = *train, .test = *test};

  const std::string missing = train ? kImageNet32TestFile : kTrainName.of(1);
  const auto pickles = first([&](const fs::path& f) {
    return train ? is_present(f / kTestPickle) : !file_numbers(kImageNet32, f, kTrainPickle).empty();
  });
  require<InputError>(!pickles, "{}: {} is a pickle file, expected {}: convert the folder with {}", kImageNet32,
                      (pickles.value_or("") / (train ? kTestPickle : kTrainPickle.of(1))).string(), missing,
                      command(pickles.value_or("")));
  fail<InputError>("{}: {} has no {}", kImageNet32, root.string(), missing);
}

/// Refuses a pickle file that has the name of an npz file.
void refuse_pickle(const fs::path& path) {
  const FileReader file(kImageNet32, path);
  std::array<std::uint8_t, 2> start{};
  file.read(0, std::span(start).first(std::min(start.size(), file.size())));
  const bool pickle = start[0] == 0x80 && start[1] >= 2 && start[1] <= 5;  // the instruction PROTO, and the protocol
  require<InputError>(!pickle, "{}: {} is a pickle file of protocol {}, expected an npz file: convert the folder with {} {}",
                      kImageNet32, path.string(), start[1], command(path.parent_path()), quoted(path.parent_path() / "npz"));
}

class Imagenet32Npz final : public Source {
 public:
  Imagenet32Npz(const fs::path& root, LabelOrder order) {
    const Place place = find_files(root);
    for (const fs::path& path : numbered_files(kImageNet32, place.train, kTrainName)) append(0, path);
    append(1, place.test / kImageNet32TestFile);
    const fs::path map = is_present(root / kLabelMapFile) ? root / kLabelMapFile : place.train / kLabelMapFile;
    classes_ = read_class_order(kImageNet32, map, order);

    const std::vector<double> mean = common_mean();
    std::vector<float> planes(kImage);
    std::transform(mean.begin(), mean.end(), planes.begin(), [](double value) { return static_cast<float>(value / 255.0); });
    info_ = {.name = kImageNet32,
             .location = root.string(),
             .shape = kImageNet32Shape,
             .class_names = classes_.names,
             .parts = {{"train", images(0)}, {"test", images(1)}},
             .normalisation = {.subtract = std::vector<float>(kImage), .divide = {1.0F, 1.0F, 1.0F}}};
    interleave(planes.data(), info_.normalisation.subtract.data());
  }

  void read(std::size_t part, std::int64_t first, const Consumer& consume) override {
    require<InputError>(part < parts_.size(), "{}: part {}, expected less than {}", kImageNet32, part, parts_.size());
    require<InputError>(first >= 0 && first <= images(part), "{}: image {} of {}, expected 0 to {}", kImageNet32, first,
                        info_.parts[part].name, images(part));
    for (const NpzBatch& batch : parts_[part]) {
      if (first < batch.images()) batch.read(first, classes_, consume);
      first = std::max<std::int64_t>(first - batch.images(), 0);
    }
  }

 private:
  void append(std::size_t part, const fs::path& path) {
    refuse_pickle(path);
    parts_[part].emplace_back(path);
  }

  std::int64_t images(std::size_t part) const {
    std::int64_t count = 0;
    for (const NpzBatch& batch : parts_[part]) count += batch.images();
    return count;
  }

  /// The mean of the first training file, which all others must repeat.
  std::vector<double> common_mean() const {
    const std::vector<NpzBatch>& train = parts_[0];
    std::vector<double> mean = train.front().read_mean();
    for (std::size_t file = 1; file < train.size(); ++file) {
      const std::vector<double> other = train[file].read_mean();
      const auto [a, b] = std::mismatch(mean.begin(), mean.end(), other.begin());
      if (a == mean.end()) continue;
      fail<InputError>("{}: mean.npy: value {} is {}, {} has {}", train[file].archive().where(), a - mean.begin(), *b,
                       train.front().archive().file().path().filename().string(), *a);
    }
    return mean;
  }

  std::array<std::vector<NpzBatch>, 2> parts_;  // train, test
  ClassOrder classes_;
};

}  // namespace

std::unique_ptr<Source> open_imagenet32_npz(const fs::path& folder, LabelOrder order) {
  return std::make_unique<Imagenet32Npz>(folder, order);
}

}  // namespace apam::data
