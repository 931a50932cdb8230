// Writes the fixtures of the PNG tests, for the comparison with Pillow and as a seed corpus for fuzzing.
//
//   png_fixtures write FOLDER     writes each fixture as FOLDER/NAME.png
//   png_fixtures decode FOLDER    decodes each 32x32 image FOLDER/NAME.png to FOLDER/NAME.rgb (H, W, 3)
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "data/png_image.h"
#include "tests/data/png_picture.h"

namespace {

namespace fs = std::filesystem;
using apam::data::Bytes;

void write(const fs::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void run(std::string_view action, const fs::path& folder) {
  if (action == "write") {
    fs::create_directories(folder);
    for (const auto& fixture : apam::data::png_fixtures()) write(folder / (fixture.name + ".png"), fixture.file);
    return;
  }
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".png") paths.push_back(entry.path());
  }
  apam::data::PngDecoder decoder("png_fixtures", {32, 32, 3});
  Bytes pixels(std::size_t{32} * 32 * 3);
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    const Bytes bytes{std::istreambuf_iterator<char>(file), {}};
    decoder.decode(path.string(), bytes, pixels);
    write(fs::path(path).replace_extension(".rgb"), pixels);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view action = argc == 3 ? argv[1] : "";
  if (action != "write" && action != "decode") {
    std::fputs("usage: png_fixtures write|decode FOLDER\n", stderr);
    return 2;
  }
  try {
    run(action, argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
