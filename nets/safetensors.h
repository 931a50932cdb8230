// The safetensors container: named tensors in one file.
//   8 bytes   size of the header, little-endian
//   header    JSON: name -> {"dtype": "F32", "shape": [64, 3, 3, 3], "data_offsets": [begin, end]}, and optionally
//             "__metadata__": name -> text; spaces may follow, so that the data start aligned
//   data      the tensors' bytes without gaps; offsets count from here
// Source: the format's description at https://github.com/huggingface/safetensors.
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

/// One tensor. `bytes` belongs to the container it was read from, or to the caller who writes it; it has no alignment.
struct NamedTensor {
  std::string name;
  std::string dtype;                ///< "F32", "I64", ...
  std::vector<std::int64_t> shape;  ///< outermost first; empty: a scalar
  std::span<const std::byte> bytes;
};

/// A file read into memory and found to be in order. Move-only.
class Safetensors {
 public:
  Safetensors(Safetensors&&) noexcept = default;
  Safetensors& operator=(Safetensors&&) noexcept = default;

  /// Throws InputError, one line with the file, the rule and both values, for anything that the format does not allow:
  /// a truncated or oversized header, JSON of another form, a name that comes twice, an unknown dtype, a shape that does
  /// not match its bytes, and offsets that overlap, leave holes or do not end with the file.
  static Safetensors read(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }  ///< in the order of their bytes
  const NamedTensor* find(std::string_view name) const;                 ///< null when there is none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  Safetensors() = default;

  std::filesystem::path path_;
  std::vector<std::byte> content_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes tensors, with their bytes aligned and the header in the order given. The file appears whole or not at
/// all (AtomicFile). Throws InputError when a name comes twice, when a tensor's bytes do not match its shape and dtype, and
/// when the file cannot be written.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// "(64, 3, 3, 3)"
std::string describe_shape(std::span<const std::int64_t> shape);

/// A name from a file, fit for an error message: in quotes, control characters escaped, cut when very long.
std::string in_quotes(std::string_view name);

}  // namespace apam::nets
