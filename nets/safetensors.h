// The safetensors container: named tensors in one file.
//   8 bytes   size of the header, little-endian
//   header    JSON: name -> {"dtype": "F32", "shape": [64, 3, 3, 3], "data_offsets": [begin, end]}, and optionally
//             "__metadata__": name -> text; padded with spaces to align the data
//   data      the tensors' bytes without gaps; data_offsets are relative to the start of data
// Specification: https://github.com/huggingface/safetensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace apam::nets {

/// A view of a tensor. `bytes` is owned by the Safetensors it was read from, or by the caller of write_safetensors().
/// Unaligned.
struct NamedTensor {
  std::string name;
  std::string dtype;                ///< "F32", "I64", ...
  std::vector<std::int64_t> shape;  ///< outermost first; empty for a scalar
  std::span<const std::byte> bytes;
};

/// A validated file in memory. Move-only.
class Safetensors {
 public:
  Safetensors(Safetensors&&) noexcept = default;
  Safetensors& operator=(Safetensors&&) noexcept = default;

  /// Throws InputError with the file, the rule and both values for anything that the format does not allow: a truncated or
  /// oversized header, unexpected JSON, a duplicate name, an unknown dtype, a shape that does not match its bytes, and offsets
  /// that overlap, leave gaps or do not end with the file.
  static Safetensors read(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }  ///< in order of data_offsets
  const NamedTensor* find(std::string_view name) const;                 ///< null if there is none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  Safetensors() = default;

  std::filesystem::path path_;
  std::vector<std::byte> content_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes tensors atomically (AtomicFile), with aligned data and the header in the given order. Throws InputError for a
/// duplicate name, for bytes that do not match shape and dtype, and if the file cannot be written.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// "(64, 3, 3, 3)"
std::string describe_shape(std::span<const std::int64_t> shape);

/// A name from a file for error messages: in quotes, control characters escaped, long names truncated.
std::string quote_name(std::string_view name);

}  // namespace apam::nets
