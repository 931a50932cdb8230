// Writes NumPy's array files, .npy (format version 1.0) and .npz (a ZIP archive of stored .npy files).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace apam::data {

/// An array to be written. The values must outlive the call.
struct NpyArray {
  std::string name;                 ///< without ".npy"; unused by write_npy()
  std::string_view descr;           ///< NumPy's type: "|u1", "<i8", "<f8"
  std::vector<std::int64_t> shape;  ///< C order
  std::span<const std::byte> values;
};

/// Writes one array to a file. Throws InputError if it cannot be written.
void write_npy(const std::filesystem::path& path, const NpyArray& array);

/// Writes several arrays. Sizes are in zip64 fields only where they need them. Files are dated 1980-01-01, so equal arrays give
/// equal files. Throws InputError if the file cannot be written.
void write_npz(const std::filesystem::path& path, const std::vector<NpyArray>& arrays);

}  // namespace apam::data
