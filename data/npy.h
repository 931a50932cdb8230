// NumPy's array files (.npy), format versions 1.0, 2.0 and 3.0:
//
//   \x93NUMPY | major, minor: u8 | header size: u16 (1.0) or u32, little-endian | header | values
//
// The header is a Python dictionary with exactly the keys descr, fortran_order and shape, padded with spaces, ending with a
// line feed. Supported values: little-endian uint8, int32, int64, float32, float64, in C order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace apam::data {

enum class NpyType : std::uint8_t { uint8, int32, int64, float32, float64 };

std::size_t size_of(NpyType type);  ///< in bytes
std::string_view to_string(NpyType type);

struct NpyHeader {
  NpyType type = NpyType::uint8;
  std::vector<std::int64_t> shape;
  std::size_t bytes = 0;  ///< of the header: position of the first value

  std::uint64_t count() const;  ///< values of the array
};

/// "uint8 (128116, 3072)"
std::string to_string(const NpyHeader& header);

/// An array in memory.
struct Npy {
  NpyHeader header;
  std::vector<std::uint8_t> values;  ///< as in the file

  /// Value `index` in C order. int64 beyond 2^53 are rounded.
  double number(std::size_t index) const;
};

/// Fills its argument with the next bytes of a file, or throws.
using ReadBytes = std::function<void(std::span<std::uint8_t>)>;

/// Reads the header from the start of a file of `size` bytes. At most 10000 bytes of header, as in NumPy. Errors start with
/// `name`. Throws InputError with rule and both values if the header is malformed, the values are big-endian, of another type,
/// Python objects or in Fortran order, or the file has not exactly the values of the shape.
NpyHeader read_npy_header(std::string_view name, std::uint64_t size, const ReadBytes& read);

/// An integer stored as `type` (uint8, int32 or int64).
std::int64_t npy_integer(NpyType type, const std::uint8_t* bytes);

/// A file of at most 64 MiB. Errors are those of read_npy_header() and FileReader.
Npy read_npy(const std::filesystem::path& path);

/// A file in memory.
Npy read_npy(std::string_view name, std::span<const std::uint8_t> file);

}  // namespace apam::data
