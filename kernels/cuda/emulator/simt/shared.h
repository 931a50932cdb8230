// Shared memory on the emulator: checked twins of gpu/simt/shared.h. An element is a proxy, so that every access is seen.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/emulator/device.h"

namespace apam::kernels::cuda {
inline namespace on_emulator {

template <class T>
class Shared {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 2 == 0, "the shadow has a cell for every two bytes");

 public:
  explicit Shared(emulator::SharedAddress address) : address_(address) {}

  class Element {
   public:
    Element(emulator::SharedAddress address, const emulator::Site& site) : address_(address), site_(site) {}
    operator T() const {  // NOLINT(google-explicit-constructor): reads like an element
      T value;
      auto& block = emulator::current_block();
      block.memory().read(block.thread(), address_, &value, sizeof(T), site_);
      return value;
    }
    const Element& operator=(const T& value) const {  // NOLINT(misc-unconventional-assign-operator): a proxy is never changed
      auto& block = emulator::current_block();
      block.memory().write(block.thread(), address_, &value, sizeof(T), site_);
      return *this;
    }
    const Element& operator+=(const T& value) const { return *this = static_cast<T>(*this) + value; }

   private:
    emulator::SharedAddress address_;
    emulator::Site site_;
  };

  /// An index, with the place where it was written.
  struct Index {
    template <class Integer>
    requires std::is_integral_v<Integer> Index(Integer i, emulator::Site here = emulator::Site::current())  // NOLINT
        : value(static_cast<std::int64_t>(i)), site(here) {}
    std::int64_t value;
    emulator::Site site;
  };

  Element operator[](Index index) const { return {moved(index.value), index.site}; }
  Shared operator+(std::int64_t elements) const { return Shared(moved(elements)); }
  template <class U>
  Shared<U> as() const {
    return Shared<U>(address_);
  }
  emulator::SharedAddress address() const { return address_; }

 private:
  emulator::SharedAddress moved(std::int64_t elements) const {
    const std::int64_t bytes = elements * static_cast<std::int64_t>(sizeof(T));
    return {static_cast<std::uint32_t>(address_.at + bytes), address_.begin, address_.end};
  }

  emulator::SharedAddress address_;
};

class SharedBytes {
 public:
  template <class T>
  Shared<T> array(int offset, int count) const {
    const auto begin = static_cast<std::uint32_t>(offset);
    return Shared<T>({begin, begin, begin + static_cast<std::uint32_t>(count) * static_cast<std::uint32_t>(sizeof(T))});
  }
};

}  // namespace on_emulator
}  // namespace apam::kernels::cuda
