// An npz file: first every entry as an array, then the file as a whole data set (training and test file at once).
// Malformed input must throw InputError, and nothing else.
#include <algorithm>
#include <vector>

#include "data/imagenet32_npz.h"
#include "data/npy.h"
#include "data/zip_archive.h"
#include "kernels/runtime/error.h"
#include "tests/fuzz/input_file.h"

namespace {

namespace data = apam::data;

constexpr std::uint64_t kMaxContent =
    1 << 20;  // bytes read per entry: deflate may expand an input to a thousand times its size

void read_entries(const std::filesystem::path& path) {
  const data::ZipArchive archive("fuzz", path);
  for (const data::ZipEntry& entry : archive.entries()) {
    try {
      data::ZipReader reader(archive, entry);
      data::read_npy_header(entry.name, entry.size, [&](std::span<std::uint8_t> bytes) { reader.read(bytes); });
      std::vector<std::uint8_t> block(1000);
      for (std::uint64_t left = std::min(reader.left(), kMaxContent); left > 0; left -= block.size()) {
        block.resize(std::min<std::uint64_t>(block.size(), left));
        reader.read(block);
      }
    } catch (const apam::InputError&) {
    }
  }
}

void read_set(const std::filesystem::path& folder) {
  const auto source = data::open_imagenet32_npz(folder, data::LabelOrder::devkit);
  for (std::size_t part = 0; part < 2; ++part) {
    std::int64_t images = 0;
    source->read(part, 0, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
      apam::fuzz::need(pixels.size() == 3072 && label >= 0 && label < 1000, "image");
      ++images;
    });
    apam::fuzz::need(images == source->info().parts[part].images, "number of images");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const apam::fuzz::InputFile file;
  static const apam::fuzz::InputFolder folder(file, {"train_data_batch_1.npz", "val_data.npz"});
  file.set({bytes, size});
  try {
    read_entries(file.path());
  } catch (const apam::InputError&) {
  }
  try {
    read_set(folder.path());
  } catch (const apam::InputError&) {
  }
  return 0;
}
