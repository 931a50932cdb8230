#include "data/image_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/folders.h"
#include "data/mean_image.h"
#include "data/png_image.h"
#include "kernels/runtime/descriptor.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr ImageShape kTreeShape{32, 32, 3};
constexpr std::size_t kImagenetClasses = 1000;

/// The files of a part, in reading order. All names are in one block of memory.
class FileList {
 public:
  void append(std::string_view name, std::int32_t label) {
    files_.push_back({names_.size(), label});
    names_.append(name).push_back('\0');
  }

  void sort() {
    std::sort(files_.begin(), files_.end(), [this](const File& a, const File& b) {
      const int order = name(a).compare(name(b));  // bytewise
      return order != 0 ? order < 0 : a.label < b.label;
    });
  }

  std::size_t size() const { return files_.size(); }
  std::string_view name(std::size_t index) const { return name(files_[index]); }
  std::int32_t label(std::size_t index) const { return files_[index].label; }

 private:
  struct File {
    std::size_t name;  // offset in names_
    std::int32_t label;
  };

  std::string_view name(const File& file) const { return names_.data() + file.name; }

  std::string names_;  // each ends with '\0'
  std::vector<File> files_;
};

/// Reads small files into memory that is reused.
class FileContent {
 public:
  std::span<const std::uint8_t> read(const char* operation, const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // do not block on a FIFO
    int reason = errno;
    require<InputError>(file.is_open(), "{}: {} cannot be opened: {}", operation, path, reason_of(reason));
    std::size_t size = 0;
    while (size < buffer_.size()) {
      const ssize_t got = ::read(file.get(), buffer_.data() + size, buffer_.size() - size);
      reason = errno;
      if (got < 0 && reason == EINTR) continue;
      require<InputError>(got >= 0, "{}: {} cannot be read: {}", operation, path, reason_of(reason));
      if (got == 0) return std::span(buffer_).first(size);
      size += static_cast<std::size_t>(got);
    }
    struct stat status {};
    if (::fstat(file.get(), &status) == 0) size = std::max(size, static_cast<std::size_t>(status.st_size));
    fail<InputError>("{}: {} has {} bytes, at most {} are accepted", operation, path, size, kMaxPngBytes);
  }

 private:
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(kMaxPngBytes + 1);  // one byte more shows what is too large
};

struct TreePart {
  std::string name;
  std::string folder;
  FileList files;
};

class ImageTree final : public Source {
 public:
  ImageTree(const char* operation, SourceInfo info, std::vector<TreePart> parts)
      : operation_(operation), parts_(std::move(parts)), decoder_(operation, info.shape), pixels_(info.shape.count()) {
    info_ = std::move(info);
    for (const TreePart& part : parts_) info_.parts.push_back({part.name, static_cast<std::int64_t>(part.files.size())});
  }

  void read(std::size_t part, std::int64_t first, const Consumer& consume) override {
    const TreePart& from = parts_.at(part);
    for (auto i = static_cast<std::size_t>(first); i < from.files.size(); ++i) {
      const std::int32_t label = from.files.label(i);
      path_.assign(from.folder).append("/").append(info_.class_names[static_cast<std::size_t>(label)]).append("/");
      path_.append(from.files.name(i));
      conversions_.count(decoder_.decode(path_, content_.read(operation_, path_), pixels_));
      consume(pixels_, label);
    }
  }

  std::vector<std::string> notes() const override { return conversions_.notes(); }

 private:
  const char* operation_;
  std::vector<TreePart> parts_;
  PngDecoder decoder_;
  PngConversions conversions_;
  FileContent content_;
  std::vector<std::uint8_t> pixels_;  // (H, W, C)
  std::string path_;
};

/// The sorted names of the class folders in `folder`, which has nothing else.
std::vector<std::string> class_folders(const char* operation, const std::string& folder) {
  std::vector<std::string> names;
  list_folder(operation, folder, [&](std::string_view name, EntryKind kind) {
    require<InputError>(kind == EntryKind::folder, "{}: {}/{} is a file, expected only folders, one per class", operation,
                        folder, name);
    names.emplace_back(name);
  });
  require<InputError>(!names.empty(), "{}: {} has no folders, expected one per class", operation, folder);
  std::sort(names.begin(), names.end());
  return names;
}

/// Lists the images of `folder`/C for each class C of `present`, all of them in `classes`, which is sorted.
TreePart list_part(const char* operation, std::string name, const fs::path& path, std::span<const std::string> present,
                   std::span<const std::string> classes) {
  TreePart part{std::move(name), path.string(), {}};
  for (const std::string& of_class : present) {
    const auto label = std::lower_bound(classes.begin(), classes.end(), of_class) - classes.begin();
    const std::string folder = part.folder + "/" + of_class;
    const std::size_t before = part.files.size();
    list_folder(operation, folder, [&](std::string_view file, EntryKind kind) {
      require<InputError>(kind == EntryKind::file, "{}: {}/{} is a {}, expected a PNG file", operation, folder, file,
                          kind == EntryKind::folder ? "folder" : "special file");
      part.files.append(file, static_cast<std::int32_t>(label));
    });
    require<InputError>(part.files.size() > before, "{}: {} has 0 images, expected at least 1", operation, folder);
  }
  part.files.sort();
  return part;
}

fs::path find_tree(const char* operation, const fs::path& folder, std::span<const std::string_view> below) {
  static constexpr std::array<std::string_view, 1> kTrain = {"train"};
  return find_folder(operation, folder, below, kTrain);
}

bool has_entry(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));  // a broken link exists, so that it is reported when it is listed
}

}  // namespace

std::unique_ptr<Source> open_cinic10_tree(const fs::path& folder) {
  constexpr const char* kName = "cinic10";
  static constexpr std::array<std::string_view, 2> kBelow = {"cinic10", "CINIC-10"};
  const std::vector<std::string> classes = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
  const fs::path root = find_tree(kName, folder, kBelow);
  std::vector<TreePart> parts;
  for (const char* name : {"train", "valid", "test"}) {
    const fs::path path = root / name;
    if (name == std::string_view("valid") && !has_entry(path)) continue;
    const auto present = class_folders(kName, path.string());
    for (const std::string& found : present) {
      require<InputError>(std::binary_search(classes.begin(), classes.end(), found), "{}: {} has a folder {}, expected {}",
                          kName, path.string(), found, fmt::join(classes, ", "));
    }
    for (const std::string& wanted : classes) {
      require<InputError>(std::binary_search(present.begin(), present.end(), wanted), "{}: {} has no folder {}, expected {}",
                          kName, path.string(), wanted, fmt::join(classes, ", "));
    }
    parts.push_back(list_part(kName, name, path, present, classes));
  }
  SourceInfo info{.name = kName,
                  .location = root.string(),
                  .shape = kTreeShape,
                  .class_names = classes,
                  .parts = {},
                  .normalisation = {.subtract = {0.47889522F, 0.47227842F, 0.43047404F},
                                    .divide = {0.24205776F, 0.23828046F, 0.25874835F}}};
  return std::make_unique<ImageTree>(kName, std::move(info), std::move(parts));
}

std::unique_ptr<Source> open_imagenet32_tree(const fs::path& folder) {
  constexpr const char* kName = "imagenet32";
  static constexpr std::array<std::string_view, 1> kBelow = {"imagenet32"};
  const fs::path root = find_tree(kName, folder, kBelow);
  const fs::path train = root / "train";
  const bool has_test = has_entry(root / "test"), has_val = has_entry(root / "val");
  require<InputError>(has_test != has_val, "{}: {} has {} of the folders test and val, expected 1", kName, root.string(),
                      has_test ? 2 : 0);
  const fs::path test = root / (has_test ? "test" : "val");

  auto classes = class_folders(kName, train.string());
  require<InputError>(classes.size() <= kImagenetClasses, "{}: {} has {} folders, expected at most {}, one per class", kName,
                      train.string(), classes.size(), kImagenetClasses);
  const auto tested = class_folders(kName, test.string());
  for (const std::string& name : tested) {
    require<InputError>(std::binary_search(classes.begin(), classes.end(), name), "{}: {} has a folder {}, {} has none", kName,
                        test.string(), name, train.string());
  }
  std::vector<TreePart> parts;
  parts.push_back(list_part(kName, "train", train, classes, classes));
  parts.push_back(list_part(kName, "test", test, tested, classes));
  auto mean = read_mean_image(kName, find_mean_image(kName, root), kTreeShape);
  while (classes.size() < kImagenetClasses) classes.push_back(fmt::format("unused_{:03}", classes.size()));
  SourceInfo info{.name = kName,
                  .location = root.string(),
                  .shape = kTreeShape,
                  .class_names = std::move(classes),
                  .parts = {},
                  .normalisation = {.subtract = std::move(mean), .divide = {1.0F, 1.0F, 1.0F}}};
  return std::make_unique<ImageTree>(kName, std::move(info), std::move(parts));
}

}  // namespace apam::data
