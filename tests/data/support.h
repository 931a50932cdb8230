// Helpers for the tests of data/: a temporary folder, CIFAR-10 records, and a small dataset in memory.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "kernels/runtime/error.h"
#include "tests/support/throws.h"

namespace apam::data {

using support::throws;

/// A temporary folder, removed by the destructor.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "apam_data_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw InputError("cannot create temporary folder " + name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, const std::vector<std::uint8_t>& bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// Byte `i` of the pixels of record `index` of cifar10_records().
inline std::uint8_t cifar10_byte(std::size_t index, std::size_t i) {
  return static_cast<std::uint8_t>(i * 7 + i / 256 + index);
}

/// Records of 3073 bytes with these labels.
inline std::vector<std::uint8_t> cifar10_records(const std::vector<int>& labels) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t index = 0; index < labels.size(); ++index) {
    bytes.push_back(static_cast<std::uint8_t>(labels[index]));
    for (std::size_t i = 0; i < 3072; ++i) bytes.push_back(cifar10_byte(index, i));
  }
  return bytes;
}

/// `n` training and `n` test images, each with its index as label, so that labels identify images. `on_read`, if given, is
/// called with the index of each image that is read.
class NumberedImages final : public Dataset {
 public:
  explicit NumberedImages(std::int64_t n, ImageShape shape = {8, 8, 3}, std::function<void(std::int64_t)> on_read = {})
      : Dataset(make_info(n, shape)), on_read_(std::move(on_read)) {}

  Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const override {
    if (on_read_) on_read_(index);
    const std::size_t count = info().shape.count();
    for (std::size_t i = 0; i < count; ++i) scratch[i] = byte(split, index, i);
    return {scratch.first(count), static_cast<std::int32_t>(index)};
  }

  static std::uint8_t byte(Split split, std::int64_t index, std::size_t i) {
    return static_cast<std::uint8_t>(static_cast<std::size_t>(index) * 31 + i * 5 + (split == Split::test ? 128 : 0));
  }

 private:
  static DatasetInfo make_info(std::int64_t n, ImageShape shape) {
    DatasetInfo info{.name = "numbered",
                     .source = "memory",
                     .shape = shape,
                     .train_images = n,
                     .test_images = n,
                     .class_names = {},
                     .normalisation = {}};
    for (std::int64_t i = 0; i < n; ++i) info.class_names.push_back(std::to_string(i));
    for (int c = 0; c < shape.channels; ++c) {
      info.normalisation.subtract.push_back(0.1F * static_cast<float>(c + 1));
      info.normalisation.divide.push_back(0.25F * static_cast<float>(c + 1));
    }
    return info;
  }

  std::function<void(std::int64_t)> on_read_;
};

/// Polls until `condition` holds; false after ten seconds.
template <class Condition>
bool eventually(Condition&& condition) {
  for (int i = 0; i < 10000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace apam::data
