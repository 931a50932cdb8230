#include "kernels/runtime/loaded_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

namespace apam {

std::vector<std::string> library_places(const char* variable, const char* file, const char* of_build) {
  if (const char* named = std::getenv(variable); named != nullptr && *named != '\0') {
    const std::filesystem::path path(named);
    return {(std::filesystem::is_directory(path) ? path / file : path).string()};
  }
  return {file, of_build};
}

OpenLibrary::OpenLibrary(std::string place) : path_(std::move(place)), handle_(::dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  require<DeviceError>(handle_ != nullptr, "{}", handle_ != nullptr ? "" : ::dlerror());
}

void* OpenLibrary::address_of(const char* name) const {
  void* const address = ::dlsym(handle_, name);
  require<DeviceError>(address != nullptr, "{} has no function {}", path_, name);
  return address;
}

}  // namespace apam
