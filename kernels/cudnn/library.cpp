#include "kernels/cudnn/library.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/cudnn/built_with.h"
#include "kernels/providers.h"

namespace apam::kernels::cudnn {
namespace {

constexpr const char* kFile = "libcudnn.so.9";
constexpr std::size_t kOldest = 90800;  // the first that builds plans from the properties of a device

std::vector<std::string> places() {
  if (const char* named = std::getenv("APAM_CUDNN"); named != nullptr && *named != '\0') {
    const std::filesystem::path path(named);
    return {(std::filesystem::is_directory(path) ? path / kFile : path).string()};
  }
  return {kFile, kLibraryOfBuild};
}

/// Either a library or the reason why there is none.
struct Found {
  std::optional<Library> library;
  std::string absence;
};

/// The functions of a library that was opened. Throws DeviceError if one is missing.
Library functions_of(void* handle, const std::string& path) {
  Library library{};
  library.path = path;
  const auto find = [&]<class Function>(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(handle, name));
    require<DeviceError>(function != nullptr, "{} has no function {}", path, name);
  };
  find(library.get_version, "cudnnGetVersion");
  find(library.get_error_string, "cudnnGetErrorString");
  find(library.get_last_error_string, "cudnnGetLastErrorString");
  find(library.create, "cudnnCreate");
  find(library.destroy, "cudnnDestroy");
  find(library.set_stream, "cudnnSetStream");
  find(library.create_descriptor, "cudnnBackendCreateDescriptor");
  find(library.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  find(library.set_attribute, "cudnnBackendSetAttribute");
  find(library.get_attribute, "cudnnBackendGetAttribute");
  find(library.finalize, "cudnnBackendFinalize");
  find(library.execute, "cudnnBackendExecute");
  const std::size_t version = library.get_version();
  library.version = fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  require<DeviceError>(version >= kOldest, "{} is cuDNN {}, 9.8 or newer is required", path, library.version);
  return library;
}

Found load() {
  Found found;
  for (const std::string& place : places()) {
    void* const handle = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: its functions are used to the end
    try {
      require<DeviceError>(handle != nullptr, "{}", handle != nullptr ? "" : ::dlerror());
      found.library = functions_of(handle, place);
      return found;
    } catch (const DeviceError& error) {
      found.absence += fmt::format("{}{}", found.absence.empty() ? "not found: " : "; ", error.what());
    }
  }
  return found;
}

const Found& found() {
  static const Found result = load();
  return result;
}

}  // namespace

const Library& library() {
  require<DeviceError>(found().library.has_value(), "cudnn: {}", found().absence);
  return *found().library;
}

const std::string& absence() {
  static const std::string none;
  return found().library ? none : found().absence;
}

std::string status() { return found().library ? fmt::format("{}, {}", library().version, library().path) : found().absence; }

void check(cudnnStatus_t status, const std::string& what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  constexpr int kNotSupported = 3;  // thousands of the status: CUDNN_STATUS_NOT_SUPPORTED and its variants
  std::array<char, 512> reason{};
  library().get_last_error_string(reason.data(), reason.size());
  const std::string_view text(reason.data());
  const std::string line(text.substr(0, text.find('\n')));
  const std::string message =
      fmt::format("cudnn: {}: {}{}{}", what, library().get_error_string(status), line.empty() ? "" : ": ", line);
  if (static_cast<int>(status) / 1000 == kNotSupported) throw NotSupported(message);
  throw DeviceError(message);
}

}  // namespace apam::kernels::cudnn
