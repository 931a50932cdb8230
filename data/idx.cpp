#include "data/idx.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data/folders.h"
#include "data/gzip_reader.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFashionMnist = "fashion-mnist";
constexpr ImageShape kIdxShape{32, 32, 3};
constexpr std::size_t kStored = 28;  // height and width in the files
constexpr std::size_t kBorder = 2;
constexpr std::uint32_t kImagesMagic = 0x00000803, kLabelsMagic = 0x00000801;
constexpr std::uint32_t kMaxCount = 1U << 24;
constexpr std::array kFashionMnistClasses = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                             "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

std::uint32_t read_number(GzipReader& file) {
  std::array<std::uint8_t, 4> bytes;
  file.read(bytes);
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

/// The number of items in a file whose header starts with `magic`.
std::uint32_t read_count(GzipReader& file, std::uint32_t magic, std::string_view items) {
  const std::uint32_t found = read_number(file);
  require<InputError>(found == magic, "{}: {} starts with {:#010x}, expected {:#010x} for {}", kFashionMnist,
                      file.path().string(), found, magic, items);
  const std::uint32_t count = read_number(file);
  require<InputError>(count > 0 && count <= kMaxCount, "{}: {} has {} {}, expected 1 to {}", kFashionMnist,
                      file.path().string(), count, items, kMaxCount);
  return count;
}

/// Reads the header of an image file. Returns the number of images.
std::uint32_t read_images_header(GzipReader& file) {
  const std::uint32_t count = read_count(file, kImagesMagic, "images");
  const std::uint32_t height = read_number(file), width = read_number(file);
  require<InputError>(height == kStored && width == kStored, "{}: {} has images of {}x{}, expected {}x{}", kFashionMnist,
                      file.path().string(), height, width, kStored, kStored);
  return count;
}

std::vector<std::uint8_t> read_labels(const fs::path& path) {
  GzipReader file(kFashionMnist, path);
  std::vector<std::uint8_t> labels(read_count(file, kLabelsMagic, "labels"));
  file.read(labels);
  file.expect_end();
  const auto wrong =
      std::find_if(labels.begin(), labels.end(), [](std::uint8_t label) { return label >= kFashionMnistClasses.size(); });
  require<InputError>(wrong == labels.end(), "{}: {} has label {} at index {}, expected 0 to {}", kFashionMnist, path.string(),
                      wrong == labels.end() ? 0 : *wrong, wrong - labels.begin(), kFashionMnistClasses.size() - 1);
  return labels;
}

/// `folder`/`name`.gz, or without suffix if only that exists.
fs::path file_of(const fs::path& folder, std::string_view name) {
  std::error_code ignored;
  fs::path compressed = folder / fmt::format("{}.gz", name);
  return !fs::exists(compressed, ignored) && fs::exists(folder / name, ignored) ? folder / name : compressed;
}

struct IdxPart {
  fs::path images;
  std::vector<std::uint8_t> labels;
};

class FashionMnist final : public Source {
 public:
  FashionMnist(SourceInfo info, std::vector<IdxPart> parts) : parts_(std::move(parts)) { info_ = std::move(info); }

  void read(std::size_t part, std::int64_t first, const Consumer& consume) override {
    const IdxPart& from = parts_.at(part);
    GzipReader file(kFashionMnist, from.images);
    const std::uint32_t count = read_images_header(file);
    require<InputError>(count == from.labels.size(), "{}: {} has {} images, but had {} when it was opened", kFashionMnist,
                        from.images.string(), count, from.labels.size());
    constexpr std::size_t kBytes = kStored * kStored;
    file.skip(static_cast<std::uint64_t>(first) * kBytes);
    std::array<std::uint8_t, kBytes> stored;              // (28, 28)
    std::vector<std::uint8_t> pixels(kIdxShape.count());  // (32, 32, 3); the border stays black
    for (auto i = static_cast<std::size_t>(first); i < from.labels.size(); ++i) {
      file.read(stored);
      for (std::size_t y = 0; y < kStored; ++y) {
        for (std::size_t x = 0; x < kStored; ++x) {
          std::fill_n(&pixels[(y + kBorder) * kIdxShape.row() + (x + kBorder) * 3], 3, stored[y * kStored + x]);
        }
      }
      consume(pixels, from.labels[i]);
    }
    file.expect_end();
  }

 private:
  std::vector<IdxPart> parts_;
};

/// Reads the labels of a part. Checks the number of images.
IdxPart open_part(const fs::path& folder, std::string_view prefix) {
  IdxPart part{file_of(folder, fmt::format("{}-images-idx3-ubyte", prefix)), {}};
  GzipReader images(kFashionMnist, part.images);
  const std::uint32_t count = read_images_header(images);
  const fs::path labels = file_of(folder, fmt::format("{}-labels-idx1-ubyte", prefix));
  part.labels = read_labels(labels);
  require<InputError>(count == part.labels.size(), "{}: {} has {} images, {} has {} labels", kFashionMnist,
                      part.images.string(), count, labels.string(), part.labels.size());
  return part;
}

}  // namespace

std::unique_ptr<Source> open_fashion_mnist(const fs::path& folder) {
  static constexpr std::array<std::string_view, 2> kBelow = {"fashion-mnist", "FashionMNIST/raw"};
  static constexpr std::array<std::string_view, 2> kEntries = {"train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"};
  std::error_code ignored;
  require<InputError>(!folder.empty() || fs::exists(kFashionMnistFolder, ignored),
                      "{}: {} does not exist: install Debian's package dataset-fashion-mnist, or give the folder of the files",
                      kFashionMnist, kFashionMnistFolder);
  const fs::path root = find_folder(kFashionMnist, folder.empty() ? fs::path(kFashionMnistFolder) : folder, kBelow, kEntries);
  std::vector<IdxPart> parts;
  parts.push_back(open_part(root, "train"));
  parts.push_back(open_part(root, "t10k"));
  const auto images = [&](std::size_t part) { return static_cast<std::int64_t>(parts[part].labels.size()); };
  SourceInfo info{.name = kFashionMnist,
                  .location = root.string(),
                  .shape = kIdxShape,
                  .class_names = {kFashionMnistClasses.begin(), kFashionMnistClasses.end()},
                  .parts = {{"train", images(0)}, {"test", images(1)}},
                  .normalisation = {.subtract = std::vector<float>(3, kFashionMnistMean),
                                    .divide = std::vector<float>(3, kFashionMnistDeviation)}};
  return std::make_unique<FashionMnist>(std::move(info), std::move(parts));
}

}  // namespace apam::data
