#include "data/cifar10.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data/embedded_sample.h"
#include "data/mapped_file.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "cifar10";
constexpr ImageShape kShape{32, 32, 3};
constexpr std::size_t kPlane = 32 * 32;
constexpr std::size_t kRecord = 1 + 3 * kPlane;  // label, then (C, H, W)
constexpr std::array kClasses = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

constexpr const char* kTestFile = "test_batch.bin";

class Cifar10 final : public Dataset {
 public:
  using Records = std::vector<const std::uint8_t*>;  // each points at kRecord bytes

  Cifar10(DatasetInfo info, std::vector<MappedFile> files, Records train, Records test)
      : Dataset(std::move(info)), files_(std::move(files)), train_(std::move(train)), test_(std::move(test)) {}

  Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const override {
    const Records& records = split == Split::train ? train_ : test_;
    const std::uint8_t* record = records[static_cast<std::size_t>(index)];
    const std::uint8_t* red = record + 1;  // (H, W), followed by green and blue
    for (std::size_t i = 0; i < kPlane; ++i) {
      scratch[3 * i] = red[i];
      scratch[3 * i + 1] = red[kPlane + i];
      scratch[3 * i + 2] = red[2 * kPlane + i];
    }
    return {scratch.first(3 * kPlane), record[0]};
  }

  std::int32_t label(Split split, std::int64_t index) const override {
    return (split == Split::train ? train_ : test_)[static_cast<std::size_t>(index)][0];
  }

 private:
  std::vector<MappedFile> files_;
  Records train_, test_;
};

/// N of "data_batch_N.bin", written without leading zeros.
std::optional<int> training_file_number(std::string_view name) {
  constexpr std::string_view kPrefix = "data_batch_";
  constexpr std::string_view kSuffix = ".bin";
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix) || name.size() <= kPrefix.size() + kSuffix.size()) return {};
  const std::string_view digits = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || digits != std::to_string(number)) return {};
  return number;
}

std::string training_file(int number) { return fmt::format("data_batch_{}.bin", number); }

/// Numbers of the training files in `folder`, ascending.
std::vector<int> training_files(const fs::path& folder) {
  std::vector<int> numbers;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto number = training_file_number(entry->path().filename().string())) numbers.push_back(*number);
  }
  require<InputError>(!error, "{}: {} cannot be listed: {}", kName, folder.string(), error.message());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

bool holds_files(const fs::path& folder) {
  std::error_code ignored;  // what cannot be looked at holds nothing
  return fs::is_directory(folder, ignored) && (fs::exists(folder / kTestFile, ignored) || !training_files(folder).empty());
}

fs::path find_folder(const fs::path& root) {
  std::error_code ignored;
  require<InputError>(fs::exists(root, ignored), "{}: {} does not exist", kName, root.string());
  require<InputError>(fs::is_directory(root, ignored), "{}: {} is not a directory", kName, root.string());
  for (const fs::path& folder : {root, root / kName, root / "cifar-10-batches-bin"}) {
    if (holds_files(folder)) return folder;
  }
  fail<InputError>("{}: {} holds neither {} nor {}, and neither do {}/ and cifar-10-batches-bin/ in it", kName, root.string(),
                   training_file(1), kTestFile, kName);
}

/// The training files of `folder`, in order of their numbers, which run from 1 without gaps.
std::vector<fs::path> training_paths(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const int number : training_files(folder)) {
    const auto expected = static_cast<int>(paths.size()) + 1;
    require<InputError>(number == expected, "{}: {} has {} but no {}: numbers run from 1 without gaps", kName, folder.string(),
                        training_file(number), training_file(expected));
    paths.push_back(folder / training_file(number));
  }
  require<InputError>(!paths.empty(), "{}: {} has no {}", kName, folder.string(), training_file(1));
  return paths;
}

/// Checks the records of one mapped file and appends them.
void append_records(const fs::path& path, const MappedFile& file, Cifar10::Records& records) {
  const auto bytes = file.bytes();
  require<InputError>(bytes.size() % kRecord == 0, "{}: {} has {} bytes, which is not a multiple of a record's {}", kName,
                      path.string(), bytes.size(), kRecord);
  for (std::size_t offset = 0; offset < bytes.size(); offset += kRecord) {
    const std::uint8_t* record = bytes.data() + offset;
    require<InputError>(record[0] < kClasses.size(), "{}: {} record {} has label {}, expected 0 to {}", kName, path.string(),
                        offset / kRecord, record[0], kClasses.size() - 1);
    records.push_back(record);
  }
}

}  // namespace

std::shared_ptr<const Dataset> open_cifar10(const fs::path& root) {
  const fs::path folder = find_folder(root.empty() ? embedded_sample() : root);
  std::vector<MappedFile> files;
  Cifar10::Records train, test;
  for (const fs::path& path : training_paths(folder)) {
    append_records(path, files.emplace_back(kName, path), train);
  }
  const fs::path test_path = folder / kTestFile;
  append_records(test_path, files.emplace_back(kName, test_path), test);

  DatasetInfo info{.name = kName,
                   .source = root.empty() ? fmt::format("the embedded sample in {}", folder.string()) : folder.string(),
                   .shape = kShape,
                   .train_images = static_cast<std::int64_t>(train.size()),
                   .test_images = static_cast<std::int64_t>(test.size()),
                   .class_names = {kClasses.begin(), kClasses.end()},
                   .normalisation = {.subtract = {0.4914F, 0.4822F, 0.4465F}, .divide = {0.2023F, 0.1994F, 0.2010F}}};
  return std::make_shared<Cifar10>(std::move(info), std::move(files), std::move(train), std::move(test));
}

}  // namespace apam::data
