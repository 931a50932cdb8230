// FNV-1a, 64 bits: hash <- (hash xor value) * prime, value by value. Fast, and not safe against an adversary.
#pragma once

#include <cstdint>
#include <string_view>

namespace apam {

class Fnv1a {
 public:
  /// One step. The published FNV-1a takes bytes; wider values are faster, but give another hash than their bytes.
  void add(std::uint64_t value) { value_ = (value_ ^ value) * 0x100000001b3; }

  /// The lowest `count` bytes of a number, least significant first.
  void add_bytes(std::uint64_t number, unsigned count = 8) {
    for (unsigned byte = 0; byte < count; ++byte) add((number >> (8 * byte)) & 0xffU);
  }

  /// A text and its length, so that "ab", "c" and "a", "bc" differ.
  void add_text(std::string_view text) {
    for (const char letter : text) add(static_cast<unsigned char>(letter));
    add_bytes(text.size());
  }

  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace apam
