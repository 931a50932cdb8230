// What tests of files share: raw files, and the message of an error.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/runtime/error.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_folder.h"

namespace apam::nets {

using support::TemporaryFolder;

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The bytes of a safetensors file with this header, whatever it says, and this many bytes of data.
inline std::string safetensors_bytes(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes.append(header).append(data_bytes, '\0');
}

/// The message of the InputError that `action` throws.
template <class Action>
std::string error_of(Action&& action) {
  return support::message_of<InputError>(action);
}

}  // namespace apam::nets
