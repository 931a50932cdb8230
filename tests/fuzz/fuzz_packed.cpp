// A packed data set: as the input is, and with the hash of the header's text repaired, so that changes of the text are parsed.
// Malformed input must throw InputError, and nothing else.
#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "data/packed_file.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/sha256.h"
#include "tests/fuzz/input_file.h"

namespace {

namespace data = apam::data;

constexpr std::size_t kLength = 12, kHash = 16, kText = 80;  // positions in the file

void read_all(const std::filesystem::path& path) {
  const auto file = std::make_shared<const data::PackedFile>(path);
  const auto source = data::packed_source(file);
  for (std::size_t part = 0; part < file->parts(); ++part) {
    std::int64_t images = 0;
    source->read(part, 0, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
      apam::fuzz::need(pixels.size() == file->header().shape.count() && label >= 0, "image");
      ++images;
    });
    apam::fuzz::need(images == file->header().parts[part].images, "number of images");
  }
  file->verify_pixels();
}

void try_input(const apam::fuzz::InputFile& file, std::span<const std::uint8_t> bytes) {
  file.set(bytes);
  try {
    read_all(file.path());
  } catch (const apam::InputError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const apam::fuzz::InputFile file;
  try_input(file, {bytes, size});
  if (size < kText) return 0;
  std::vector<std::uint8_t> repaired(bytes, bytes + size);
  std::uint32_t length = 0;
  std::memcpy(&length, repaired.data() + kLength, sizeof(length));
  apam::Sha256 hash;
  hash.add(std::as_bytes(std::span(repaired)).subspan(kText, std::min<std::size_t>(length, size - kText)));
  const std::string digits = hash.hex();
  std::copy(digits.begin(), digits.end(), repaired.begin() + kHash);
  try_input(file, repaired);
  return 0;
}
