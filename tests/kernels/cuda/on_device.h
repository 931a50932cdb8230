// For tests of device code that run on the emulator and, in builds with CUDA, on the GPU.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "kernels/runtime/exec.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {

inline constexpr Device kDevice{Target::device, 0};

/// An array on the device under test.
template <class T>
class Array {
 public:
  explicit Array(const std::vector<T>& values) : buffer_(kDevice, values.size() * sizeof(T)) {
    copy_bytes(buffer_.data(), kDevice, values.data(), Device{}, values.size() * sizeof(T));
  }
  T* data() const { return reinterpret_cast<T*>(buffer_.data()); }
  std::vector<T> values() const {
    std::vector<T> result(buffer_.size_bytes() / sizeof(T));
    copy_bytes(result.data(), Device{}, buffer_.data(), kDevice, buffer_.size_bytes());
    return result;
  }

 private:
  Buffer buffer_;
};

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (kDevice.kind == DeviceKind::cuda && gpu_names().empty()) GTEST_SKIP() << "no GPU";
  }

  /// Runs one block of a kernel and returns `out` after it.
  template <class K, class T, class... Args>
  std::vector<T> run(std::vector<T> out, Args... args) {
    const Array<T> results(out);
    Exec exec({.device = kDevice});
    launch<K>(exec, {}, {results.data(), args...});
    return results.values();
  }
};

}  // namespace apam::kernels::cuda
