#include "data/bundled_sample.h"

#include <array>
#include <string>
#include <system_error>

#include "data/locations.h"
#include "kernels/runtime/error.h"

namespace apam::data {

std::filesystem::path bundled_sample() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const std::array<fs::path, 3> places = {(program.parent_path() / ".." / kShareFolder / "sample").lexically_normal(),
                                          fs::path(kSourceFolder) / "data" / "sample",
                                          fs::path(kInstallPrefix) / kShareFolder / "sample"};
  for (const fs::path& place : places) {
    if (fs::is_directory(place, error)) return place;
  }
  fail<InputError>("data: no bundled sample in {}, {} or {}", places[0].string(), places[1].string(), places[2].string());
}

}  // namespace apam::data
